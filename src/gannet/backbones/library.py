"""The contract of a network library, and its networks as extractors: ``timm:NAME``, ``onnx:FILE`` and the like."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import chain, islice
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gannet.backbones.augment import View
from gannet.backbones.base import Weights
from gannet.backbones.extractor import Engine, Vectors, forget_after_fork
from gannet.backbones.network import Input, Network
from gannet.backbones.provenance import Provenance
from gannet.backbones.texts import TextNetwork
from gannet.backbones.vectors import checked_vectors
from gannet.data.images import RawImage, decode, load_rgb
from gannet.errors import GannetError, MissingExtraError
from gannet.registry import Registry


class NetworkLibrary(ABC):
    """A library whose image networks are named ``PREFIX:NAME``.

    A subclass in one file, in ``gannet/backbones/libraries`` or in another distribution (entry-point group
    ``gannet.network_libraries``, whose names are the prefixes), sets the class attributes and implements `load` and
    `restore`.

    Attributes
    ----------
    name : str
        The prefix.
    form : str
        What follows the prefix, such as ``"NAME/PRETRAINED"``.
    example : str
        A complete name of a network.
    reference : str
        What the library is, in one line.
    local : str
        How to name a network in a local file or folder.
    extra : str
        The extra of this package that installs the library.
    requires : tuple of str
        Import names of the libraries that its networks need.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    example: ClassVar[str]
    reference: ClassVar[str]
    local: ClassVar[str]
    extra: ClassVar[str]
    requires: ClassVar[tuple[str, ...]]

    @abstractmethod
    def load(self, name: str) -> Network:
        """Return a network with its published or local weights.

        Parameters
        ----------
        name : str
            The part after the prefix. A network that is not local comes from the library's cache or from a hub.

        Returns
        -------
        Network
            The network.

        Raises
        ------
        GannetError
            If the name is unknown, or if the network can't be read. Other exceptions are turned into one line.
        """

    @abstractmethod
    def restore(self, name: str, files: Mapping[str, str], weights: Weights) -> Network:
        """Return the network that a model file holds, without any contact to a hub.

        Parameters
        ----------
        name : str
            The part after the prefix.
        files : mapping of str to str
            The `Network.files` of the network that was stored.
        weights : mapping of str to ndarray
            Its weights.
        """

    @classmethod
    def unavailable(cls) -> str | None:
        """Return in one line why the library can't be used here, or None; import nothing."""
        for library in cls.requires:
            if importlib.util.find_spec(library) is None:
                return str(MissingExtraError(library, cls.extra, f"a network of {cls.name!r}"))
        return None


@functools.cache
def network_libraries() -> Registry[NetworkLibrary]:
    """Return the registry of network libraries."""
    return Registry(
        "network library",
        NetworkLibrary,  # type: ignore[type-abstract]
        "gannet.backbones.libraries",
        "gannet.network_libraries",
    )


class LibraryExtractor:
    """Run a network of another library, with its own preprocessing.

    ``name`` has the library's prefix. With ``weights``, which a model file holds with the ``provenance``, the network
    is made of them when the first image comes. Otherwise the library loads it at once.
    """

    def __init__(
        self, name: str, size: int | None = None, weights: Weights | None = None, provenance: Provenance | None = None
    ) -> None:
        prefix, _, self._rest = name.partition(":")
        self._library: NetworkLibrary = network_libraries().get(prefix)()
        self._lock = threading.Lock()
        self._network: Network | None = None
        self.provenance: Provenance
        if size is not None and weights and provenance is not None:
            self.name, self.size, self.weights, self.provenance = name, size, weights, provenance
            self._is_stored = True
            return
        self.name, self.weights, self._is_stored = name, {}, False
        with loading(name, self._library.local):
            self.name, self.size, self.provenance = self.network.name, self.network.size, self.network.provenance
        if size not in (None, self.size):
            raise GannetError(f"{name} takes images of {self.size} pixels; another size can't be chosen")
        if self.provenance.may_embed:
            self.weights = self.network.weights

    @property
    def network(self) -> Network:
        """The network, loaded at the first access, by one thread."""
        with self._lock, loading(self.name, self._library.local):
            if self._network is None and self._is_stored:
                self._network = self._library.restore(self._rest, self.provenance.files, self.weights)
            elif self._network is None:
                self._network = self._library.load(self._rest)
            return self._network

    def text_tower(self, files: Mapping[str, bytes]) -> TextNetwork | None:
        """Return the network's text tower, or None if it has none; see `Network.text_tower`."""
        make = self.network.text_tower
        with loading(self.name, self._library.local):
            return None if make is None else make(files)

    def text_network(self) -> TextNetwork:
        """Return the text tower by itself, recognized by the weights and the tokenizer; raise an error without one."""
        tower = self.text_tower({})
        if tower is None:
            raise GannetError(f"the network {self.name!r} has no text tower: name one for images and texts")
        return replace(tower, digest=hashlib.sha256(f"{self.provenance.digest} {tower.digest}".encode()).hexdigest())

    @cached_property
    def engine(self) -> Engine:
        """The runtime, made when first used in a process."""
        forget_after_fork(self)
        return self.network.engine()

    @property
    def n_features(self) -> int:
        """Length of the vectors."""
        return self.provenance.n_features

    @property
    def cache_key(self) -> str:
        """A file name that differs whenever the features would."""
        return f"{self._library.name}-{self.provenance.key[:24]}"

    def prepare(self, raw: RawImage, view: View, digest: bytes) -> Input:
        """Return the network's input for a view of an image."""
        if type(view) is View:
            pixels = load_rgb(raw, None)
        else:
            pixels = view.apply(decode(raw, round(view.enlarged * self.size)), self.size, digest)
        return self.network.preprocess(Image.fromarray(pixels))

    def stream(self, images: Iterable[Input]) -> Iterator[Vectors]:
        """Map inputs to blocks of features ``(m, n_features)``, in order."""
        waiting = iter(images)
        first = next(waiting, None)
        if first is None:
            return
        sizes: deque[int] = deque()
        for vectors in self.engine.run(self._batches(chain([first], waiting), first.shape, sizes)):
            yield checked_vectors(self.name, vectors, sizes.popleft(), self.n_features)

    def _batches(self, inputs: Iterator[Input], shape: tuple[int, ...], sizes: deque[int]) -> Iterator[NDArray[Any]]:
        """Yield batches of inputs of one shape, and add their sizes to ``sizes``."""
        while batch := list(islice(inputs, self.engine.batch_size)):
            for item in batch:
                if item.shape != shape:
                    raise GannetError(
                        f"the preprocessing of {self.name} gives arrays of different shapes, {shape} and {item.shape}: "
                        "only networks with inputs of one size are supported"
                    )
            sizes.append(len(batch))
            yield np.stack(batch)


@contextlib.contextmanager
def loading(name: str, local: str) -> Iterator[None]:
    """Turn the errors of a library that loads the network ``name``, of any type, into one line.

    ``local`` says how the library names a network in a local file or folder.
    """
    # Libraries log through the root logger, which would get a handler that prints everything a second time.
    silent = logging.NullHandler()
    logging.root.addHandler(silent)
    # The hub's library prints a line for every failed attempt to reach the hub.
    attempts = logging.getLogger("huggingface_hub.utils._http")
    level = attempts.level
    attempts.setLevel(logging.ERROR)
    try:
        yield
    except GannetError:
        raise
    except Exception as error:
        if _is_unreachable(error):
            raise GannetError(
                f"the network {name!r} is not on this computer, and the hub that has it cannot be reached: download it "
                f"on a computer with access to it and copy the cache, or name a local copy: {local}"
            ) from error
        reason = " ".join(str(error).split())[:400] or type(error).__name__
        raise GannetError(f"the network {name!r} cannot be loaded: {reason}") from error
    finally:
        logging.root.removeHandler(silent)
        attempts.setLevel(level)


_UNREACHABLE = {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "URLError", "ConnectError", "TransportError"}


def _is_unreachable(error: BaseException | None) -> bool:
    """Return whether the error, or one that caused it, says that a server cannot be reached."""
    while error is not None:
        names = {cls.__name__ for cls in type(error).__mro__}
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror) or names & _UNREACHABLE:
            return True
        error = error.__cause__ or error.__context__
    return False
