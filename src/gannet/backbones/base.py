"""The contract of a backbone: a pre-trained torch network, its weights and its preprocessing."""

from __future__ import annotations

import functools
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
from gannet.support.arrays import load_arrays, log, save_arrays
from gannet.support.cache import cache_dir
from gannet.support.libraries import load

if TYPE_CHECKING:
    from torch import nn

Weights = Mapping[str, NDArray[Any]]


class Backbone(ABC):
    """A pre-trained network that maps an image to one feature vector.

    A subclass in one file, in ``gannet/backbones`` or in another distribution (entry-point group ``gannet.backbones``),
    sets the class attributes below and implements `build` and `weights_file`, or overrides `weights`. An instance can
    also be passed directly: ``ImageHasher(backbone=MyBackbone())``. A model file stores its weights, so that whoever
    loads the file needs the class, but no weight file.

    Parameters
    ----------
    size : int, default=None
        Side in pixels of the square images that the network sees. If None, ``default_size``.

    Attributes
    ----------
    name : str
        Name on the command line and in model files.
    reference : str
        The paper.
    n_features : int
        Length of the feature vector.
    default_size, min_size : int
        Usual and smallest side of the images, in pixels.
    mean, std : tuple of 3 floats
        Normalization of the red, green and blue channels, for pixels from 0 to 1.
    requires : tuple of str
        Import names of the libraries that the network needs.
    extra : str
        The extra of this package that installs them.

    Raises
    ------
    GannetError
        If the size is below ``min_size`` or above 1024.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    n_features: ClassVar[int]
    default_size: ClassVar[int]
    min_size: ClassVar[int]
    mean: ClassVar[tuple[float, float, float]]
    std: ClassVar[tuple[float, float, float]]
    requires: ClassVar[tuple[str, ...]] = ("torch",)
    extra: ClassVar[str] = "images"

    def __init__(self, size: int | None = None) -> None:
        self.size = self.default_size if size is None else size
        if not self.min_size <= self.size <= 1024:
            raise GannetError(
                f"{self.name} takes a size from {self.min_size} to 1024 pixels, not {self.size};"
                f" its usual size is {self.default_size}"
            )

    @abstractmethod
    def build(self) -> nn.Module:
        """Return the network with any weights: normalized float ``(n, 3, size, size)`` to ``(n, n_features)``."""

    @abstractmethod
    def weights_file(self) -> Path:
        """Return the file with the published weights, downloaded if necessary; raise `GannetError` if impossible."""

    @classmethod
    def require(cls) -> None:
        """Raise `MissingExtraError` if a library that the backbone needs is not installed; import nothing heavy."""
        for library in cls.requires:
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, cls.extra, f"the backbone {cls.name!r}")

    @classmethod
    def unavailable(cls) -> str | None:
        """Return in one line why the backbone can't run here, or None."""
        try:
            cls.require()
        except MissingExtraError as error:
            return str(error)
        return None

    def weights(self, source: str | Path | None = None) -> dict[str, NDArray[Any]]:
        """Return the network's weights by name, without layers that the features do not use.

        A file is read and checked once; later calls read a plain copy from the cache, without torch.

        Parameters
        ----------
        source : str or Path, default=None
            A ``.pth`` or ``.safetensors`` file. If None, the published weights.

        Returns
        -------
        dict of str to ndarray
            The weights.

        Raises
        ------
        GannetError
            If the file is missing, can't be read safely, or belongs to another network.
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
            say_preparing(self.name)
            weights = self._select(_read_state(path), str(path))
            save_arrays(cached, weights)
        return weights

    def module(self, weights: Weights | str | Path | None = None) -> nn.Module:
        """Return the network in evaluation mode.

        Parameters
        ----------
        weights : mapping of str to ndarray, str or Path, default=None
            Arrays by name, or a weight file. If None, the published weights.

        Returns
        -------
        torch.nn.Module
            From normalized float ``(n, 3, size, size)`` to ``(n, n_features)``.
        """
        if weights is None or isinstance(weights, (str, Path)):
            weights = self.weights(weights)
        selected = self._select(weights, "the given weights")
        import torch

        module = self._empty()
        if any(buffer.is_meta for name, buffer in module.named_buffers() if name not in selected):
            module = self.build()  # non-persistent buffers are in no weight file: only building makes their values
        module.load_state_dict({name: torch.tensor(value) for name, value in selected.items()}, assign=True)
        return module.eval()

    def _empty(self) -> nn.Module:
        """Build the network without memory for its weights, so that no time is spent on initializing them."""
        self.require()
        torch = load("torch", "images", f"the backbone {self.name!r}")
        with torch.device("meta"):
            return self.build()

    def _select(self, state: Weights, origin: str) -> dict[str, NDArray[Any]]:
        """Return the weights that the network has; raise `GannetError` if one is missing or has another shape."""
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


@functools.cache
def say_preparing(name: str) -> None:
    """Log that an image network is being prepared, once per process, since nothing else shows for some seconds."""
    log.warning("preparing the image network %s for this computer; this happens once and takes some seconds", name)


def _read_state(path: Path) -> dict[str, NDArray[Any]]:
    """Read a ``.safetensors`` or PyTorch weight file, the latter with torch's restricted unpickler only."""
    unreadable = f"{path} is not a weight file that can be read safely; give a .pth state dict or .safetensors"
    if path.suffix == ".safetensors":
        from safetensors.numpy import load_file

        try:
            return load_file(path)
        except Exception:  # a damaged file can fail in any way
            raise GannetError(unreadable) from None
    torch = load("torch", "images", f"reading {path.name}")
    try:
        with warnings.catch_warnings(action="ignore"):
            state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.float().numpy() for name, tensor in state.items()}
    # On arbitrary bytes, the unpickler raises more than its own error classes.
    except Exception:
        raise GannetError(unreadable) from None
