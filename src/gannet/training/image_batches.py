"""Training images that are read when a batch needs them; random choices depend only on the seed and the step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gannet.data import RawImage, decode
from gannet.support.threads import cores
from gannet.training.distributed import Processes
from gannet.training.schedule import step_seed

_MARGIN = 8
"""Images are decoded larger than the network's input by this fraction, which leaves room for random crops."""


@dataclass(frozen=True)
class ImageBatches:
    """The ``n`` images of a training, with a ``size`` of the network's input in pixels.

    ``read`` maps an index to the raw image; called from several threads. ``augment`` crops and flips at random. The
    order of batches, the crops and the flips depend on ``seed``.
    """

    n: int
    read: Callable[[int], RawImage]
    size: int
    augment: bool
    seed: int

    def items(self, step: int, count: int) -> Tensor:
        """Return the indices ``(count,)`` of a step's batch; each pass over the images has a new random order."""
        epoch, place = divmod(step, self.n // count)
        order = torch.randperm(self.n, generator=torch.Generator().manual_seed(step_seed(self.seed, 0, epoch)))
        return order[place * count : (place + 1) * count]

    def batches(self, steps: range, count: int, processes: Processes) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the indices of each step's whole batch ``(count,)``, and the pixels of this process's rows.

        Pixels are uint8 ``(count / processes, size, size, 3)``. The next batch is read during the current step.
        """
        with ThreadPoolExecutor(min(cores(), 16), thread_name_prefix="gannet-load") as pool:

            def start(step: int) -> tuple[Tensor, Iterator[NDArray[np.uint8]]]:
                items = self.items(step, count)
                places, views = processes.own(items), processes.own(self._views(step, count))
                return items, pool.map(self._image, places.tolist(), views.tolist())

            waiting = None
            try:
                for step in steps:
                    items, images = waiting or start(step)
                    waiting = start(step + 1) if step + 1 in steps else None
                    yield items, torch.from_numpy(np.stack(list(images)))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _views(self, step: int, count: int) -> Tensor:
        """Return top and left of the crop of each image in a step's batch, and whether to flip it, ``(count, 3)``."""
        random = np.random.default_rng(step_seed(self.seed, 1, step))
        return torch.from_numpy(random.integers(0, [self.margin + 1, self.margin + 1, 2], (count, 3)))

    @property
    def margin(self) -> int:
        """Pixels by which decoded images are larger than the network's input, per side."""
        return self.size // _MARGIN if self.augment else 0

    def _image(self, place: int, view: list[int]) -> NDArray[np.uint8]:
        image = decode(self.read(place), self.size + self.margin)
        if not self.augment:
            return image
        top, left, flipped = view
        crop = image[top : top + self.size, left : left + self.size]
        return crop[:, ::-1] if flipped else crop
