"""Networks of other libraries: any object that maps PIL images to vectors."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gannet.backbones.augment import View
from gannet.backbones.provenance import Provenance
from gannet.backbones.vectors import checked_vectors, on_cpu
from gannet.data.images import RawImage, decode, load_rgb
from gannet.support.threads import limit_torch

_DEFAULT_SIZE = 224
_BATCH = 32


class Encodes(Protocol):
    """An object of another library that encodes images."""

    def encode(self, images: list[Image.Image], /) -> Any:
        """Return the vectors of PIL images, an array or tensor of shape ``(n, d)``."""
        ...


OutsideNetwork = Encodes | Callable[..., Any]


class OutsideExtractor:
    """Run an object of another library as an image network.

    The network is not stored in a model file: the file records its name, and whoever loads it passes the network again.
    Its features are not cached on disk either, because its weights may change without notice.

    Parameters
    ----------
    network : object
        One of:

        - an object with ``encode(list of PIL images) -> array of shape (n, d)``;
        - an object with ``preprocess(PIL image) -> array`` that is called with a batch of preprocessed images;
        - a callable from a list of PIL images to an array of shape ``(n, d)``.

        Its attribute ``name`` (else the name of the function or class) identifies it. Its attribute ``size``, default
        224, is the side in pixels of the images that it sees; random views are made at this size. It gets whole
        images, in RGB and turned upright; those larger than 1024 pixels on the shorter side are reduced to that.
    """

    def __init__(self, network: OutsideNetwork) -> None:
        self.network: Any = network
        self.name = str(getattr(network, "name", None) or getattr(network, "__name__", type(network).__name__))
        self.size = int(getattr(network, "size", None) or _DEFAULT_SIZE)
        self.weights: Mapping[str, NDArray[Any]] = {}
        self.cache_key: str | None = None
        self.provenance: Provenance | None = None

    @cached_property
    def n_features(self) -> int:
        """Length of the vectors, found by encoding a gray image."""
        gray = np.full((self.size, self.size, 3), 128, np.uint8)
        return int(self._encode([gray]).shape[1])

    def prepare(self, raw: RawImage, view: View, digest: bytes) -> NDArray[np.uint8]:
        """Return a view of an image as uint8 pixels ``(h, w, 3)``."""
        if type(view) is View:
            return load_rgb(raw)
        return view.apply(decode(raw, round(view.enlarged * self.size)), self.size, digest)

    def stream(self, images: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.float32]]:
        """Map images ``(h, w, 3)`` to blocks of features ``(m, d)``, in order."""
        waiting = iter(images)
        while batch := list(islice(waiting, _BATCH)):
            yield self._encode(batch)

    def _encode(self, batch: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        limit_torch()
        with _without_gradients():
            vectors = on_cpu(self._call([Image.fromarray(image) for image in batch]))
        expected = vars(self).get("n_features")  # known after the first batch
        return checked_vectors(self.name, vectors, len(batch), expected)

    def _call(self, images: list[Image.Image]) -> Any:
        if callable(getattr(self.network, "encode", None)):
            return self.network.encode(images)
        preprocess = getattr(self.network, "preprocess", None)
        if preprocess is None:
            return self.network(images)
        return self.network(_stacked([preprocess(image) for image in images]))


def _stacked(inputs: list[Any]) -> Any:
    """Return preprocessed images as one batch, of torch where they are tensors."""
    if hasattr(inputs[0], "detach"):
        import torch

        return torch.stack(inputs)
    return np.stack(inputs)


def _without_gradients() -> contextlib.AbstractContextManager[Any]:
    """Return the context in which torch, if the network has imported it, keeps nothing for gradients."""
    torch = sys.modules.get("torch")
    return contextlib.nullcontext() if torch is None else torch.no_grad()
