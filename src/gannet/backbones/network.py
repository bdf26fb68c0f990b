"""Networks of other libraries: their own preprocessing and forward pass, and the fastest runtime that equals it."""

from __future__ import annotations

import importlib.util
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gannet.backbones.base import Weights
from gannet.backbones.extractor import Engine, TorchEngine, Vectors, has_gpu
from gannet.backbones.provenance import Provenance
from gannet.backbones.texts import TextNetwork
from gannet.backbones.vectors import checked_vectors
from gannet.support.arrays import array_digest

if TYPE_CHECKING:
    from torch import nn

Input = NDArray[Any]
"""One preprocessed image, such as float32 ``(3, h, w)``."""

TOLERANCE = 1e-5
"""Largest difference, relative to the largest feature, with which another runtime equals the library's forward pass."""

_log = logging.getLogger("gannet")


@dataclass(frozen=True, eq=False)
class Network(ABC):
    """An image network of another library.

    Parameters
    ----------
    name : str
        Name, with the prefix of the library.
    size : int
        Side in pixels of the images that the network sees, at which random views are made.
    preprocess : callable
        The library's own preprocessing, from an upright RGB `PIL.Image.Image` of any size to an array.
    preprocessing : str
        Description of it, which differs whenever it does.
    revision, license : str or None, default=None
        Commit of the hub's repository, and license of the weights.
    files : mapping of str to str, default={}
        Small text files from which `NetworkLibrary.restore` builds the network without weights.
    text_tower : callable, default=None
        Of a network for images and texts: returns its text tower with a tokenizer, from the tokenizer's files in a
        model file, or from an empty mapping for the library's own tokenizer of the network.
    """

    name: str
    size: int
    preprocess: Callable[[Image.Image], Input]
    preprocessing: str
    revision: str | None = None
    license: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    text_tower: Callable[[Mapping[str, bytes]], TextNetwork] | None = field(default=None, kw_only=True)

    @cached_property
    @abstractmethod
    def weights(self) -> Weights:
        """The network's weights by name."""

    @cached_property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 (hex) of the weights."""

    @cached_property
    def provenance(self) -> Provenance:
        """What a model file records of the network."""
        gray = Image.new("RGB", (self.size, self.size), (128, 128, 128))
        vectors = checked_vectors(self.name, _features(self.reference(), self.preprocess(gray)), 1)
        return Provenance(
            self.digest, vectors.shape[1], self.preprocessing, self.revision, self.license, dict(self.files)
        )

    @abstractmethod
    def reference(self) -> Engine:
        """Return the library's own forward pass on the CPU.

        Returns
        -------
        Engine
            The runtime.
        """

    @abstractmethod
    def openvino(self, example: Input) -> Engine:
        """Return the network on OpenVINO. Any exception means that this can't be done.

        Parameters
        ----------
        example : ndarray
            One preprocessed image, which has the shape and dtype of all.

        Returns
        -------
        Engine
            The runtime.
        """

    def engine(self) -> Engine:
        """Return the fastest runtime that equals the library's forward pass on a random image.

        Returns
        -------
        Engine
            The runtime.
        """
        reference = self.reference()
        if importlib.util.find_spec("openvino") is None:
            return reference
        pixels = np.random.default_rng(0).integers(0, 256, (self.size, self.size, 3), dtype=np.uint8)
        example = self.preprocess(Image.fromarray(pixels))
        expected = _features(reference, example)
        try:
            engine = self.openvino(example)
            found = _features(engine, example)
        except Exception as error:  # OpenVINO can't convert every network, and says so by errors of any type
            _log.debug("OpenVINO does not run %s: %s", self.name, error)
            return reference
        is_equal = found.shape == expected.shape and bool(
            np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()
        )
        return engine if is_equal else reference


@dataclass(frozen=True, eq=False)
class TorchNetwork(Network):
    """A torch network of another library.

    Parameters
    ----------
    name : str
        Name, with the prefix of the library.
    size : int
        Side in pixels of the images that the network sees, at which random views are made.
    preprocess : callable
        The library's own preprocessing, from an upright RGB `PIL.Image.Image` of any size to an array.
    preprocessing : str
        Description of it, which differs whenever it does.
    revision, license : str or None, default=None
        Commit of the hub's repository, and license of the weights.
    files : mapping of str to str, default={}
        Small text files from which `NetworkLibrary.restore` builds the network without weights.
    text_tower : callable, default=None
        Of a network for images and texts: returns its text tower; see `Network`.
    module : torch.nn.Module
        From a batch of preprocessed images to features ``(n, n_features)``, in evaluation mode.
    model : torch.nn.Module, default=None
        The whole network of the library, whose weights are stored, for example with a text tower. If None, ``module``.
    """

    module: nn.Module = field(kw_only=True)
    model: nn.Module | None = field(default=None, kw_only=True)

    @cached_property
    def weights(self) -> Weights:  # noqa: D102
        return arrays_of(self.model or self.module)

    @cached_property
    def digest(self) -> str:  # noqa: D102
        return array_digest(self.weights)

    def reference(self) -> Engine:  # noqa: D102
        return TorchEngine(self.module, "cpu", "f32")

    def openvino(self, example: Input) -> Engine:  # noqa: D102
        from gannet.backbones._openvino_engine import OpenVINOEngine

        key = f"network-{self.provenance.key[:32]}"
        return OpenVINOEngine.of_torch(lambda: self.module, key, self.name, example.shape, example.dtype)

    def engine(self) -> Engine:  # noqa: D102
        return TorchEngine(self.module, "cuda", "f32") if has_gpu() else super().engine()


def arrays_of(module: nn.Module) -> dict[str, NDArray[Any]]:
    """Return the weights of a torch module by name, as arrays of their own."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in module.state_dict().items()}


def load_arrays_into(module: nn.Module, weights: Weights) -> nn.Module:
    """Return a torch module with weights by name, in evaluation mode; raise an exception if they do not fit."""
    import torch

    module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return module.eval()


def _features(engine: Engine, example: Input) -> Vectors:
    return np.concatenate(list(engine.run(iter([example[None]]))))
