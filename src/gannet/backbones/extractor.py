"""Running a backbone: with OpenVINO on a CPU, with torch on a GPU, and with torch on the CPU as the last resort.

All runtimes compute in 32-bit floats unless asked otherwise, so that codes made on one machine are found again from
another. Images enter as uint8; normalization is part of the network that runs.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import json
import os
import sys
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gannet.backbones.augment import View
from gannet.backbones.base import Backbone, Weights
from gannet.backbones.provenance import Provenance
from gannet.data.images import RawImage, decode
from gannet.errors import GannetError
from gannet.support.arrays import array_digest, log
from gannet.support.libraries import load

if TYPE_CHECKING:
    import torch
    from torch import nn

Images = NDArray[Any]
Vectors = NDArray[np.float32]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["f32", "bf16"]


class Extractor(Protocol):
    """An image network that is ready to run.

    ``size`` is the side in pixels of the images that it sees, and ``n_features`` the length of its vectors. A model
    file stores ``weights``, which are empty if the network cannot be stored, and the ``provenance`` of a network of
    another library. ``cache_key`` identifies everything that
    the vectors depend on, apart from the image; if it is None, they are not cached.
    """

    name: str
    size: int
    weights: Mapping[str, NDArray[Any]]

    @property
    def provenance(self) -> Provenance | None:
        """Record of a network of another library, or None."""
        ...

    @property
    def n_features(self) -> int:
        """Length of the vectors."""
        ...

    @property
    def cache_key(self) -> str | None:
        """Key of the vectors in the cache."""
        ...

    def prepare(self, raw: RawImage, view: View, digest: bytes) -> Images:
        """Return a view of an image as `stream` takes it; ``digest`` is the image's content digest."""
        ...

    def stream(self, images: Iterable[Images]) -> Iterator[Vectors]:
        """Map prepared images to blocks of vectors ``(m, n_features)``, in order."""
        ...


class Engine(Protocol):
    """A runtime with one network loaded."""

    batch_size: int

    def run(self, batches: Iterable[Images]) -> Iterator[Vectors]:
        """Map uint8 batches ``(n, size, size, 3)``, n at most ``batch_size``, to float32 ``(n, d)``, in order."""
        ...


class FeatureExtractor:
    """Run a `Backbone`, which is loaded when the first image comes.

    ``weights`` are arrays by name, a weight file, or None for the published weights. The device "auto" is a CUDA GPU if
    there is one. The precision "bf16" is faster on GPUs and on CPUs with AMX or AVX512-BF16. It changes features by a
    few percent, which flips some bits of a code: use one precision for queries and collection.
    """

    def __init__(
        self,
        backbone: Backbone,
        weights: Weights | str | Path | None = None,
        device: Device = "auto",
        precision: Precision = "f32",
    ) -> None:
        self.backbone = backbone
        self.name, self.size, self.n_features = backbone.name, backbone.size, backbone.n_features
        self.weights: Weights = (
            backbone.weights(weights) if weights is None or isinstance(weights, (str, Path)) else weights
        )
        self.provenance: Provenance | None = None
        self.device = device
        self.precision = precision

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the network's name, weights and preprocessing."""
        b = self.backbone
        identity = [b.name, b.size, b.mean, b.std, array_digest(self.weights)]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    @property
    def cache_key(self) -> str:
        """A file name that differs whenever the features would."""
        return f"{self.name}-{self.size}-{self.precision}-{self.digest[:24]}"

    @functools.cached_property
    def engine(self) -> Engine:
        """The runtime, loaded when first used in a process."""
        forget_after_fork(self)
        has_openvino = importlib.util.find_spec("openvino") is not None
        on_gpu = self.device == "cuda" or (self.device == "auto" and has_gpu())
        if on_gpu or not has_openvino:
            if not on_gpu:
                _warn_slow()
            return TorchEngine(self._network(), "cuda" if on_gpu else "cpu", self.precision)
        from gannet.backbones._openvino_engine import OpenVINOEngine

        shape = (self.size, self.size, 3)
        return OpenVINOEngine.of_torch(self._network, self.cache_key, self.name, shape, precision=self.precision)

    def __call__(self, images: Images) -> Vectors:
        """Map uint8 images ``(n, size, size, 3)`` to features, float32 ``(n, n_features)``."""
        blocks = list(self.stream(images))
        return np.concatenate(blocks) if blocks else np.empty((0, self.n_features), np.float32)

    def prepare(self, raw: RawImage, view: View, digest: bytes) -> Images:
        """Return a view of the image's center square, uint8 ``(size, size, 3)``."""
        return view.apply(decode(raw, round(view.enlarged * self.size)), self.size, digest)

    def stream(self, images: Iterable[Images]) -> Iterator[Vectors]:
        """Map images ``(size, size, 3)``, uint8, to blocks of features ``(m, n_features)``, float32, in order.

        Images are taken from the iterable while earlier ones are computed, so a lazy iterable decodes at the same time.
        """
        waiting = iter(images)
        first = next(waiting, None)
        if first is None:
            return
        yield from self.engine.run(self._batches(first, waiting))

    def _batches(self, first: Images, rest: Iterator[Images]) -> Iterator[Images]:
        shape = (self.size, self.size, 3)
        batch = [first, *islice(rest, self.engine.batch_size - 1)]
        while batch:
            for image in batch:
                if image.shape != shape or image.dtype != np.uint8:
                    raise GannetError(f"{self.name} needs uint8 images {shape}, not {image.dtype} {image.shape}")
            yield np.stack(batch)
            batch = list(islice(rest, self.engine.batch_size))

    def _network(self) -> nn.Module:
        return normalized(self.backbone, self.backbone.module(self.weights))


class TorchEngine:
    """Run a network, from uint8 ``(n, size, size, 3)`` to ``(n, d)``, with torch on "cpu" or "cuda"."""

    def __init__(self, network: nn.Module, device: str, precision: Precision) -> None:
        torch = load("torch", "images", "encoding images")
        if device == "cuda" and not torch.cuda.is_available():
            raise GannetError("torch finds no CUDA GPU here; use device='cpu'")
        self.batch_size = 256 if device == "cuda" else 8
        try:
            self._network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        except RuntimeError as error:
            if "forked" not in str(error):
                raise
            raise GannetError(
                "the GPU cannot be used in a process that was forked from one that uses it: start the process with "
                "multiprocessing's method 'spawn', or use device='cpu'"
            ) from error
        self._device = device
        self._precision = precision

    def run(self, batches: Iterable[Images]) -> Iterator[Vectors]:
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


def normalized(backbone: Backbone, module: nn.Module) -> nn.Module:
    """Return the network with the backbone's preprocessing in front: uint8 ``(n, size, size, 3)`` to ``(n, d)``."""
    import torch
    from torch import nn

    class Normalized(nn.Module):
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

    return Normalized().eval()


def has_gpu() -> bool:
    """Return whether torch can use a GPU. If there is no GPU driver, torch is not imported to find out."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in drivers):
        return False
    if importlib.util.find_spec("torch") is None:
        return False
    import torch

    return torch.cuda.is_available()


_loaded: weakref.WeakSet[Extractor] = weakref.WeakSet()


def forget_after_fork(extractor: Extractor) -> None:
    """Let the child processes of this one make the extractor's cached property ``engine`` anew."""
    _loaded.add(extractor)


def _forget_engines() -> None:
    """Let a child process load its networks anew: the threads of its parent's runtimes do not survive a fork."""
    for extractor in list(_loaded):
        engine = vars(extractor).pop("engine", None)
        # One reference too many, since destroying the runtime would wait for its threads, even at the end of the child.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_engines)


@functools.cache
def _warn_slow() -> None:
    log.warning("OpenVINO is not installed, so encoding is several times slower: pip install 'gannet-hash[images]'")
