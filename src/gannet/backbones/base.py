"""The contract of a backbone: a pre-trained network, its weights and its preprocessing.

A backbone is one file in this package with one subclass of :class:`Backbone`; it is found by itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gannet.errors import GannetError, MissingExtraError
from gannet.support.arrays import array_digest, load_arrays, save_arrays
from gannet.support.cache import cache_dir

if TYPE_CHECKING:
    from torch import nn

Weights = Mapping[str, NDArray[Any]]


def weights_digest(weights: Weights) -> str:
    """Return the identity of a set of weights: a SHA-256 in hex over names, shapes and values."""
    return array_digest(weights)


class Backbone(ABC):
    """A pre-trained network that maps an image to one feature vector.

    Args:
        size: side in pixels of the square image the network sees; the backbone's own default where None.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    n_features: ClassVar[int]
    default_size: ClassVar[int]
    min_size: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]]
    """Per channel (red, green, blue), on pixels in [0, 1]."""
    std: ClassVar[tuple[float, float, float]]
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    """Import names without which the backbone cannot run."""

    def __init__(self, size: int | None = None) -> None:
        self.size = self.default_size if size is None else size
        if not self.min_size <= self.size <= 1024:
            raise GannetError(
                f"{self.name} takes a size from {self.min_size} to 1024 pixels, not {self.size};"
                f" its usual size is {self.default_size}"
            )

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the network, no weights: normalised float ``(n, 3, size, size)`` to ``(n, n_features)``."""

    @abstractmethod
    def weights_file(self) -> Path:
        """Return the file with the published weights, fetched if need be; GannetError where there is none."""

    @classmethod
    def require(cls) -> None:
        """Raise MissingExtraError where a library the backbone needs is not installed. Imports nothing heavy."""
        for library in cls.requires:
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, "images", f"the backbone {cls.name!r}")

    @classmethod
    def unavailable(cls) -> str | None:
        """Return in one line why the backbone cannot run here, or None."""
        try:
            cls.require()
        except MissingExtraError as error:
            return str(error)
        return None

    def weights(self, source: str | Path | None = None) -> dict[str, NDArray[Any]]:
        """Return the network's weights by name, without the layers that the features do not use.

        A file is read and checked once; later calls take a plain copy from the cache, without torch.

        Args:
            source: a ``.pth`` or ``.safetensors`` file; the published weights where None.

        Raises:
            GannetError: the file is absent, cannot be read safely, or belongs to another network.
        """
        path = self.weights_file() if source is None else Path(source)
        try:
            with path.open("rb") as file:
                identity = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise GannetError(f"cannot read weights for {self.name} from {path}: {error.strerror}") from None
        cached = cache_dir() / "weights" / f"{self.name}-{identity[:32]}.safetensors"
        weights = load_arrays(cached)
        if weights is None:
            weights = self._select(_read_state(path), str(path))
            save_arrays(cached, weights)
        return weights

    def module(self, weights: Weights | str | Path | None = None) -> nn.Module:
        """Return the network, evaluating: normalised float ``(n, 3, size, size)`` to ``(n, n_features)``.

        Args:
            weights: arrays by name, or a weight file; the published weights where None.
        """
        if weights is None or isinstance(weights, (str, Path)):
            weights = self.weights(weights)
        selected = self._select(weights, "the given weights")
        import torch

        module = self._empty()
        module.load_state_dict({name: torch.tensor(value) for name, value in selected.items()}, assign=True)
        return module.eval()

    def _empty(self) -> nn.Module:
        """Build the network without memory for its weights, so that no time goes into initialising them."""
        self.require()
        import torch

        with torch.device("meta"):
            return self.build()

    def _select(self, state: Weights, origin: str) -> dict[str, NDArray[Any]]:
        """Keep the weights that the network has; GannetError where one is missing or misshapen."""
        selected = {}
        for name, value in self._empty().state_dict().items():
            if name not in state:
                raise GannetError(f"{origin} holds no {name!r}: it is not a weight file of {self.name}")
            array = np.asarray(state[name])
            if array.shape != tuple(value.shape):
                raise GannetError(
                    f"{origin} has {name!r} of shape {array.shape}; {self.name} needs {tuple(value.shape)}"
                )
            dtype = np.float32 if value.is_floating_point() else np.int64
            selected[name] = np.array(array, dtype=dtype, order="C")
        return selected


def _read_state(path: Path) -> dict[str, NDArray[Any]]:
    """Read a ``.safetensors`` or PyTorch weight file; the latter with torch's restricted unpickler only."""
    unreadable = f"{path} is not a weight file that can be read safely; give a .pth state dict or .safetensors"
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(path)
        except (SafetensorError, ValueError, KeyError, AttributeError):
            raise GannetError(unreadable) from None
    if importlib.util.find_spec("torch") is None:
        raise MissingExtraError("torch", "images", f"reading {path.name}")
    import torch

    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.float().numpy() for name, tensor in state.items()}
    # The unpickler meets arbitrary bytes here, and what it raises on them is not limited to its own errors.
    except Exception:
        raise GannetError(unreadable) from None
