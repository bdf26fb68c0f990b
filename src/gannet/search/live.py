"""A collection kept open for many searches at once, its index in memory and as current as the file."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.collection import storage
from gannet.collection.collection import Collection
from gannet.collection.stored_model import read_model
from gannet.errors import GannetError
from gannet.index.hamming import HammingIndex
from gannet.search.duplicates import group_items, limits

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher

T = TypeVar("T")

_TRIES = 5


class UnknownItemError(GannetError):
    """The collection has no item with this id, or no longer."""


@dataclass(frozen=True)
class Item:
    """An item of the collection: ``code (w,)`` is packed uint8."""

    id: int
    path: str
    code: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Neighbours:
    """What a search found, nearest first, then by id.

    Attributes
    ----------
        ids, distances: ``(m,)`` int64, distances in bits.
        paths: ``m`` names.
        codes: ``(m, w)`` uint8.
    """

    ids: npt.NDArray[np.int64]
    distances: npt.NDArray[np.int64]
    paths: Sequence[str]
    codes: Codes


@dataclass(frozen=True)
class Group:
    """Near-duplicates: ``size`` of them, and the first by id, each ``(id, path)``."""

    size: int
    items: Sequence[tuple[int, str]]


class LiveCollection:
    """Searches one collection file from many threads, and follows what other programs change in it.

    Every call looks whether the file has changed, which takes microseconds, and reads the codes again if it has. An
    answer is always that of one whole state of the file, and names no item that is gone. If the file is replaced by
    another collection, that one is served; if it is deleted, what was in it.

    Parameters: ``path`` of the collection; ``editable``, whether `remove` may be called.
    Raises: `GannetError` where the file is not a collection; any method, where it can no longer be read.
    """

    def __init__(self, path: str | os.PathLike[str], editable: bool = False) -> None:
        self.path = Path(path)
        self.editable = editable
        self._lock = threading.Lock()
        self._state = _State.read(_File(self.path, editable))

    def __len__(self) -> int:
        return len(self._current().ids)

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._current().n_bits

    @property
    def duplicate_limits(self) -> tuple[int, float]:
        """The radius of near-duplicates where none is asked for, and their cosine; see `gannet.search.duplicates`."""
        return limits(self._current().file.collection)

    def warm_up(self) -> None:
        """Lay a large index out for speed (seconds), so that no search has to wait for it."""
        self._current().index.prepare()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._state.file.close()

    def info(self) -> dict[str, Any]:
        """Return what `Collection.info` does."""
        return self._current().file.collection.info()

    def item(self, id: int) -> Item:
        """Return one item; raises `UnknownItemError` where there is none."""

        def find(state: _State) -> Item:
            code = state.code(id)
            return Item(id, self._paths(state, np.array([id]))[0], code)

        return self._on_one_state(find)

    def code(self, id: int) -> npt.NDArray[np.uint8]:
        """Return the code ``(w,)`` of an item; raises `UnknownItemError` where there is none."""
        return self._current().code(id)

    def sample(self, n: int) -> list[tuple[int, str]]:
        """Return ids and paths of ``n`` items at most, spread evenly over the collection."""

        def find(state: _State) -> list[tuple[int, str]]:
            n_shown = min(n, len(state.ids))
            ids = state.ids[np.arange(n_shown) * len(state.ids) // max(n_shown, 1)]
            return list(zip(ids.tolist(), self._paths(state, ids), strict=True))

        return self._on_one_state(find)

    def search(self, code: npt.ArrayLike, k: int, radius: int | None = None) -> Neighbours:
        """Return the ``k`` nearest items to a code ``(w,)``, without those that differ in more than ``radius`` bits.

        Raises: `GannetError` for a code of another length, and for k or radius out of range.
        """
        if radius is not None and radius < 0:
            raise GannetError(f"the radius must be 0 bits or more, not {radius}")

        def find(state: _State) -> Neighbours:
            (distances,), (ids,) = state.index.search(np.atleast_2d(np.asarray(code)), k)
            if radius is not None:
                near = distances <= radius
                distances, ids = distances[near], ids[near]
            return Neighbours(ids, distances, self._paths(state, ids), state.codes[np.searchsorted(state.ids, ids)])

        return self._on_one_state(find)

    def duplicates(self, radius: int, offset: int, limit: int, members: int) -> tuple[int, list[Group]]:
        """Return how many groups of near-duplicates there are, and ``limit`` of them from ``offset`` on.

        They are those of `gannet.search.duplicates.duplicates`: where features are kept, alike in these too. Of each,
        ``members`` are named. The groups of the last radius are kept, so that leafing through them is quick.
        """

        def find(state: _State) -> tuple[int, list[Group]]:
            groups = self._read(state, lambda: state.groups(radius))
            some = groups[offset : offset + limit]
            named = [group[:members] for group in some]
            paths = iter(self._paths(state, np.concatenate([*named, state.ids[:0]])))
            shown = [
                Group(len(group), [(int(id_), next(paths)) for id_ in ids])
                for group, ids in zip(some, named, strict=True)
            ]
            return len(groups), shown

        return self._on_one_state(find)

    def encode(self, image: bytes) -> npt.NDArray[np.uint8]:
        """Return the code ``(w,)`` of the bytes of an image file.

        The first call loads the image network, which takes seconds.
        Raises: `GannetError` where it cannot be read, or where the collection is of vectors.
        """
        return self._current().file.encode(image)

    def has_content(self, id: int, digest: bytes) -> bool:
        """Tell whether the item was made from content with this digest (`gannet.data.digest`)."""
        return id in self._current().file.collection.find_digests([digest]).get(digest, ())

    def remove(self, id: int) -> None:
        """Remove an item from the collection; its file is left alone.

        Raises: `UnknownItemError` where there is none, `GannetError` where the collection may not be changed.
        """
        if not self.editable:
            raise GannetError(f"{self.path} is open for reading only")
        state = self._current()
        state.code(id)
        state.file.collection.remove([id])

    def _current(self, wait: bool = False) -> _State:
        """Return the collection as it is now, with ``wait`` after a change under way; the result never changes."""
        with self._lock:
            file = self._state.file
            if file.is_replaced():
                self._state = _State.read(_File(self.path, self.editable))
                file.close()
            elif file.version(wait) != self._state.version:
                self._state = _State.read(file)
            return self._state

    def _on_one_state(self, find: Callable[[_State], T]) -> T:
        for _ in range(_TRIES):
            with contextlib.suppress(_StaleError):
                return find(self._current())
        raise GannetError(f"{self.path} changes faster than it can be read; try again")

    def _paths(self, state: _State, ids: npt.NDArray[np.int64]) -> list[str]:
        return self._read(state, lambda: state.file.collection.paths(ids))

    def _read(self, state: _State, read: Callable[[], T]) -> T:
        """Read what a state does not hold; raises `_StaleError` where that is no longer in the file."""
        try:
            return read()
        except GannetError:
            if self._current(wait=True) is state:
                raise
            raise _StaleError from None


class _StaleError(Exception):
    """The file has changed since its codes were read, and what was found is not there any more."""


class _File:
    """The open collection, its model, and a second connection that sees every change, this program's own too."""

    def __init__(self, path: Path, editable: bool) -> None:
        self._path = path
        self._identity = storage.identify(path)
        self.collection = Collection.open(path, readonly=not editable)
        self._watch = storage.connect(path, readonly=True)
        self._version = 0
        self._encoding = threading.Lock()

    def is_replaced(self) -> bool:
        """Tell whether another file has come in this one's place."""
        identity = storage.identify(self._path)
        return identity is not None and identity != self._identity

    def version(self, wait: bool = False) -> int:
        """Return a number that is another one after every change.

        A writer at the end of its change holds the file for a moment: without ``wait``, nothing has changed until then.
        """
        with storage.explained(self._path):
            self._watch.execute(f"PRAGMA busy_timeout = {1000 * storage.WAIT_SECONDS if wait else 0:.0f}")
            try:
                (self._version,) = storage.read_row(self._watch, "PRAGMA data_version", int)
            except sqlite3.OperationalError as error:
                if wait or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
        return self._version

    def encode(self, image: bytes) -> npt.NDArray[np.uint8]:
        # One at a time: the network uses all cores by itself, and pictures take much memory.
        with self._encoding:
            found = self._hasher.features([image])
            if found.skipped:
                raise GannetError(f"the image cannot be used: {found.skipped[0].reason}")
            code: npt.NDArray[np.uint8] = self._hasher.model.encoder.encode(found.values)[0]
        return code

    @cached_property
    def _hasher(self) -> ImageHasher:
        model = read_model(self.collection)
        if model.backbone is None:
            raise GannetError("this collection is of vectors, not of images: search it by the id of an item")
        from gannet.image_hasher import ImageHasher

        return ImageHasher(model=model)

    def close(self) -> None:
        self._watch.close()
        self.collection.close()


@dataclass(frozen=True)
class _State:
    """One state of the file: ``ids (n,)``, ascending, their ``codes (n, w)``, and the index over them."""

    file: _File
    version: int
    ids: npt.NDArray[np.int64]
    codes: Codes
    index: HammingIndex
    grouping: _Grouping

    @classmethod
    def read(cls, file: _File) -> _State:
        # The version comes first: what changes after it is seen as a change by the next look.
        version = file.version()
        ids, codes = file.collection.codes()
        return cls(file, version, ids, codes, HammingIndex(codes, file.collection.n_bits, ids=ids), _Grouping())

    @property
    def n_bits(self) -> int:
        return self.index.n_bits

    def code(self, id: int) -> npt.NDArray[np.uint8]:
        position = int(np.searchsorted(self.ids, id))
        if position == len(self.ids) or self.ids[position] != id:
            raise UnknownItemError(f"there is no item {id} in this collection")
        code: npt.NDArray[np.uint8] = self.codes[position]
        return code

    def groups(self, radius: int) -> Sequence[npt.NDArray[np.int64]]:
        """Return the groups of near-duplicates, largest first, each its ids ``(m,)``, ascending."""
        with self.grouping.lock:
            if self.grouping.radius != radius:
                collection = self.file.collection
                _, cosine = limits(collection, radius)
                self.grouping.groups = group_items(collection, self.ids, self.codes, radius, cosine)
                self.grouping.radius = radius
            return self.grouping.groups


class _Grouping:
    """The groups of one state at the radius last asked for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.radius = -1
        self.groups: Sequence[npt.NDArray[np.int64]] = ()
