"""Running a backbone fast: OpenVINO on the CPU, torch on a GPU, plain torch where neither is there.

Both runtimes compute in 32-bit floats unless asked otherwise, so that codes made on one machine are found
again from another. Images enter as uint8; their normalisation is part of the network that is run.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gannet.backbones.base import Backbone, Weights, weights_digest
from gannet.errors import GannetError
from gannet.support.arrays import log

if TYPE_CHECKING:
    import torch
    from torch import nn

Images = NDArray[np.uint8]
Features = NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["f32", "bf16"]


class Engine(Protocol):
    """Something that runs batches of images through one network."""

    batch_size: int

    def run(self, batches: Iterable[Images]) -> Iterator[Features]:
        """Map uint8 ``(n, size, size, 3)`` with n up to ``batch_size`` to float32 ``(n, d)``, in order."""
        ...


class FeatureExtractor:
    """A backbone ready to run. The network is loaded at the first image, not before.

    Args:
        backbone: the network and its preprocessing.
        weights: arrays by name, or a weight file; the published weights where None.
        device: ``"auto"`` takes a CUDA GPU where there is one.
        precision: ``"bf16"`` is faster on GPUs and on CPUs with AMX or AVX512-BF16, and moves features by a
            few per cent, which flips some bits of a code: use one precision for queries and collection.
    """

    def __init__(
        self,
        backbone: Backbone,
        weights: Weights | str | Path | None = None,
        device: Device = "auto",
        precision: Precision = "f32",
    ) -> None:
        self.backbone = backbone
        self.weights: Weights = (
            backbone.weights(weights) if weights is None or isinstance(weights, (str, Path)) else weights
        )
        self.device = device
        self.precision = precision

    @functools.cached_property
    def digest(self) -> str:
        """Identity of the network: its name, weights and preprocessing. SHA-256 in hex."""
        b = self.backbone
        identity = [b.name, b.size, b.mean, b.std, weights_digest(self.weights)]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    @property
    def key(self) -> str:
        """A file name for what this extractor computes: it differs whenever the features would."""
        return f"{self.backbone.name}-{self.backbone.size}-{self.precision}-{self.digest[:24]}"

    @functools.cached_property
    def engine(self) -> Engine:
        """The runtime, loaded when first asked for."""
        has_openvino = importlib.util.find_spec("openvino") is not None
        on_gpu = self.device == "cuda" or (self.device == "auto" and has_gpu())
        if on_gpu or not has_openvino:
            if not on_gpu:
                _say_slow()
            return TorchEngine(self._network(), "cuda" if on_gpu else "cpu", self.precision)
        from gannet.backbones.openvino_engine import OpenVINOEngine

        return OpenVINOEngine(self._network, self.key, self.backbone, self.precision)

    def __call__(self, images: Images) -> Features:
        """Map uint8 images ``(n, size, size, 3)`` to features, float32 ``(n, d)``."""
        blocks = list(self.stream(images))
        return np.concatenate(blocks) if blocks else np.empty((0, self.backbone.n_features), np.float32)

    def stream(self, images: Iterable[Images]) -> Iterator[Features]:
        """Map images ``(size, size, 3)``, uint8, to blocks of features ``(m, d)``, float32, in order.

        Images are drawn while earlier ones are computed, so that a lazy iterable decodes at the same time.
        """
        waiting = iter(images)
        first = next(waiting, None)
        if first is None:
            return
        yield from self.engine.run(self._batches(first, waiting))

    def _batches(self, first: Images, rest: Iterator[Images]) -> Iterator[Images]:
        shape = (self.backbone.size, self.backbone.size, 3)
        batch = [first, *islice(rest, self.engine.batch_size - 1)]
        while batch:
            for image in batch:
                if image.shape != shape or image.dtype != np.uint8:
                    raise GannetError(
                        f"{self.backbone.name} needs uint8 images {shape}, not {image.dtype} {image.shape}"
                    )
            yield np.stack(batch)
            batch = list(islice(rest, self.engine.batch_size))

    def _network(self) -> nn.Module:
        return normalised(self.backbone, self.backbone.module(self.weights))


class TorchEngine:
    """Plain torch, on a GPU or as the last resort on the CPU."""

    def __init__(self, network: nn.Module, device: str, precision: Precision) -> None:
        import torch

        if device == "cuda" and not torch.cuda.is_available():
            raise GannetError("torch finds no CUDA GPU here; use device='cpu'")
        self.batch_size = 256 if device == "cuda" else 8
        self._network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._device = device
        self._precision = precision

    def run(self, batches: Iterable[Images]) -> Iterator[Features]:
        """Map each batch to its features; on a GPU the next batch is prepared while one computes."""
        import torch

        pending: deque[torch.Tensor] = deque()
        for batch in batches:
            with (
                torch.inference_mode(),
                torch.autocast(self._device, torch.bfloat16, enabled=self._precision == "bf16"),
                # TensorFloat-32 would make a GPU's features differ from a CPU's in the fourth digit.
                torch.backends.cudnn.flags(enabled=True, allow_tf32=False),
            ):
                pending.append(self._network(torch.from_numpy(batch).to(self._device)))
            if len(pending) > 1:
                yield pending.popleft().float().cpu().numpy()
        for result in pending:
            yield result.float().cpu().numpy()


def normalised(backbone: Backbone, module: nn.Module) -> nn.Module:
    """Put the backbone's preprocessing in front: uint8 ``(n, size, size, 3)`` to features ``(n, d)``."""
    import torch
    from torch import nn

    class Normalised(nn.Module):
        mean: torch.Tensor
        std: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            self.module = module
            self.register_buffer("mean", 255 * torch.tensor(backbone.mean), persistent=False)
            self.register_buffer("std", 255 * torch.tensor(backbone.std), persistent=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            pixels = (images.float() - self.mean) / self.std
            features: torch.Tensor = self.module(pixels.permute(0, 3, 1, 2))
            return features

    return Normalised().eval()


def has_gpu() -> bool:
    """Say whether torch can use a GPU; with no driver in sight, without the second torch takes to import."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in drivers):
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


@functools.cache
def _say_slow() -> None:
    log.warning("OpenVINO is not installed, so encoding is several times slower: pip install 'gannet-hash[images]'")
