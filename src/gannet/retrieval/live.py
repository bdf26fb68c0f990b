"""A collection kept open for searches from many threads, with an index in memory that follows changes of the file."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids
from gannet.collection.stored_codes import Searcher
from gannet.errors import GannetError, unknown_name
from gannet.index import DEFAULT_INDEX, Index, IndexFactory
from gannet.index.part import PartIndex
from gannet.retrieval._live_file import LiveFile
from gannet.retrieval._matches import checked_plan, find_matches
from gannet.retrieval.duplicates import group_items, limits
from gannet.retrieval.found import CodedItem, EncodedQuery, Group, Matches
from gannet.retrieval.parts import parts_of

T = TypeVar("T")

_TRIES = 5


class UnknownItemError(GannetError):
    """The collection has no item with this id, or no longer has it."""


class LiveCollection:
    """Searches one collection file from many threads, and follows the changes that other programs make to it.

    Every call checks whether the file has changed, which takes microseconds, and reads the codes again if it has. A
    result always describes a single state of the file, and contains no removed item. If another collection replaces the
    file, that collection is served; if the file is deleted, its last contents are.

    Parameters
    ----------
    path : path-like
        File of the collection.
    editable : bool, default=False
        Whether `remove` may be called.
    index : str, type or callable, default="hamming"
        Index to search with; see `Collection.open`.

    Raises
    ------
    GannetError
        If the file is no collection. All methods raise it if the file can no longer be read.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gannet import Collection
    >>> from gannet.encoders import Linear
    >>> from gannet.model import Model
    >>> from gannet.retrieval.live import LiveCollection
    >>> model = Model(Linear(np.zeros(2, np.float32), np.eye(2, 8, dtype=np.float32), np.zeros(8, np.float32)), "lsh")
    >>> codes = np.array([[0], [255], [0]], np.uint8)
    >>> with (
    ...     tempfile.TemporaryDirectory() as folder,
    ...     Collection.create(f"{folder}/photos.gannet", model) as collection,
    ... ):
    ...     ids = collection.add(codes, ["a.jpg", "b.jpg", "copy of a.jpg"])
    ...     live = LiveCollection(f"{folder}/photos.gannet")
    ...     found = live.search(live.code(0), k=2)
    ...     live.close()
    >>> found.paths, found.distances
    (['a.jpg', 'copy of a.jpg'], array([0, 0]))
    """

    def __init__(
        self, path: str | os.PathLike[str], editable: bool = False, index: str | IndexFactory = DEFAULT_INDEX
    ) -> None:
        self.path = Path(path)
        self.editable = editable
        self._index = index
        self._lock = threading.Lock()
        self._state = _State.read(LiveFile(self.path, editable, index))

    def __len__(self) -> int:
        return len(self._current().ids)

    @property
    def name(self) -> str:
        """Name of the file, without its folder."""
        return self.path.name

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._current().n_bits

    @property
    def takes_texts(self) -> bool:
        """Whether the collection's model can be read and has a text network, for `encode_text`."""
        with contextlib.suppress(GannetError):
            return self._current().file.queries.model.texts is not None
        return False

    @property
    def parts(self) -> Sequence[str]:
        """Names of the parts of hybrid codes that `search` can compare alone; none for other codes."""
        with contextlib.suppress(GannetError):
            return list(self._current().ranges())
        return []

    @property
    def duplicate_limits(self) -> tuple[int, float]:
        """Default radius and cosine of near-duplicates; see `gannet.retrieval.duplicates.limits`."""
        return limits(self._current().file.collection)

    def warm_up(self) -> None:
        """Prepare the index, which may take seconds, so that no search is delayed by it."""
        index = self._current().index
        if (prepare := getattr(index, "prepare", None)) is not None:
            prepare()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._state.file.close()

    def info(self) -> dict[str, Any]:
        """Return general information about the collection.

        Returns
        -------
        dict of str to object
            See `gannet.Collection.info`.
        """
        return self._current().file.collection.info()

    def item(self, id: int) -> CodedItem:
        """Return one item.

        Parameters
        ----------
        id : int
            Id of the item.

        Returns
        -------
        CodedItem
            Id, path and code.

        Raises
        ------
        UnknownItemError
            If the item does not exist.
        """

        def find(state: _State) -> CodedItem:
            code = state.code(id)
            return CodedItem(id, self._paths(state, np.array([id]))[0], code)

        return self._on_one_state(find)

    def code(self, id: int) -> npt.NDArray[np.uint8]:
        """Return the code of an item.

        Parameters
        ----------
        id : int
            Id of the item.

        Returns
        -------
        ndarray of shape (w,), dtype uint8
            Packed code.

        Raises
        ------
        UnknownItemError
            If the item does not exist.
        """
        return self._current().code(id)

    def sample(self, n: int) -> list[tuple[int, str]]:
        """Return some items, spread evenly over the collection.

        Parameters
        ----------
        n : int
            Largest number of items.

        Returns
        -------
        list of (int, str)
            Ids and paths, in ascending order of the ids.
        """

        def find(state: _State) -> list[tuple[int, str]]:
            n_shown = min(n, len(state.ids))
            ids = state.ids[np.arange(n_shown) * len(state.ids) // max(n_shown, 1)]
            return list(zip(ids.tolist(), self._paths(state, ids), strict=True))

        return self._on_one_state(find)

    def search(
        self,
        code: npt.ArrayLike,
        k: int,
        radius: int | None = None,
        weights: npt.ArrayLike | None = None,
        part: str | None = None,
    ) -> Matches:
        """Return the items nearest to a code.

        Parameters
        ----------
        code : ndarray of shape (w,), dtype uint8
            Packed code.
        k : int
            Largest number of results.
        radius : int, default=None
            Leave out items that differ in more than this many bits.
        weights : array-like of shape (n_bits,), default=None
            Weights of the query's bits, from `encode`: order the nearest 1,000 items, or ``k`` if that is more, by
            their scores, and return the first ``k``.
        part : str, default=None
            Compare only the bits of one of the `parts`.

        Returns
        -------
        Matches
            The items, ordered by distance, then by id; with weights, by score, then by distance, then by id.

        Raises
        ------
        GannetError
            If the code or the weights have another length, if ``k`` or ``radius`` is out of range, or if the codes have
            no such part.
        """
        plan = checked_plan(k, radius, weights)

        def find(state: _State) -> Matches:
            searcher = Searcher(state.index_of(part), state.codes_at)
            return find_matches(searcher, lambda ids: self._paths(state, ids), plan, code, radius, weights)

        return self._on_one_state(find)

    def duplicates(self, radius: int, offset: int, limit: int, members: int) -> tuple[int, list[Group]]:
        """Return the number of groups of near-duplicates, and a page of them.

        The groups are those of `gannet.retrieval.duplicates.find_duplicates`, with pictures compared. The groups of the
        last radius are kept in memory, so that further pages are fast.

        Parameters
        ----------
        radius : int
            Largest distance of two linked items in bits.
        offset, limit : int
            Number of groups to skip, and largest number of groups to return.
        members : int
            Largest number of items to return per group.

        Returns
        -------
        total : int
            Number of all groups.
        groups : list of Group
            The groups of the page.
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

    def encode(self, image: bytes) -> EncodedQuery:
        """Encode an image; the first call loads the backbone, which takes seconds.

        Parameters
        ----------
        image : bytes
            Content of an image file.

        Returns
        -------
        EncodedQuery
            Its packed code, and the weights of its bits for `search`.

        Raises
        ------
        GannetError
            If the image cannot be read, or if the collection is of vectors.
        """
        return self._current().file.queries.encode(image)

    def encode_text(self, text: str) -> EncodedQuery:
        """Encode a text; the first call loads the text network, which takes seconds.

        Parameters
        ----------
        text : str
            A text such as ``"a red car"``.

        Returns
        -------
        EncodedQuery
            Its packed code, and the weights of its bits for `search`.

        Raises
        ------
        GannetError
            If the collection's model has no text network, or if it is missing.
        """
        return self._current().file.queries.encode_text(text)

    def has_content(self, id: int, digest: bytes) -> bool:
        """Return whether an item was made from content with a given digest.

        Parameters
        ----------
        id : int
            Id of the item.
        digest : bytes
            Result of `gannet.data.digest`.

        Returns
        -------
        bool
            Whether the item exists and has this digest.
        """
        return id in self._current().file.collection.find_digests([digest]).get(digest, ())

    def remove(self, id: int) -> None:
        """Remove an item from the collection, but not its file.

        Parameters
        ----------
        id : int
            Id of the item.

        Raises
        ------
        UnknownItemError
            If the item does not exist.
        GannetError
            If the collection is not editable.
        """
        if not self.editable:
            raise GannetError(f"{self.path} is open for reading only")
        state = self._current()
        state.code(id)
        state.file.collection.remove([id])

    def _current(self, wait: bool = False) -> _State:
        """Return the present state of the collection, which is immutable; with ``wait``, after a change in progress."""
        with self._lock:
            file = self._state.file
            if file.is_outdated(self._state.version, self._state.state):
                self._state = _State.read(LiveFile(self.path, self.editable, self._index))
                file.close()
            elif file.version(wait) != self._state.version:
                self._state = _State.read(file)
            return self._state

    def _on_one_state(self, find: Callable[[_State], T]) -> T:
        for _ in range(_TRIES):
            with contextlib.suppress(_StaleError):
                return find(self._current())
        raise GannetError(f"{self.path} changes faster than it can be read; try again")

    def _paths(self, state: _State, ids: Ids) -> list[str]:
        return self._read(state, lambda: state.file.collection.paths(ids))

    def _read(self, state: _State, read: Callable[[], T]) -> T:
        """Read data that a state does not hold; raise a `_StaleError` if the file has changed and no longer has it."""
        try:
            return read()
        except GannetError:
            if self._current(wait=True) is state:
                raise
            raise _StaleError from None


class _StaleError(Exception):
    """The file has changed since its codes were read, and an item that was found is no longer in it."""


@dataclass(frozen=True)
class _State:
    """One state of the file: all ids ``(n,)``, ascending, their codes ``(n, w)``, and an index over them."""

    file: LiveFile
    version: int
    state: bytes
    ids: Ids
    codes: Codes
    index: Index
    parts: _Parts
    grouping: _Grouping

    @classmethod
    def read(cls, file: LiveFile) -> _State:
        # The version is read first, so that a later change gives another version at the next check.
        version, state = file.version(), file.state()
        collection = file.collection
        with collection.snapshot():
            ids, codes = collection.ids, collection.codes()
        index = collection.index_factory(codes, collection.n_bits, ids=ids)
        return cls(file, version, state, ids, codes, index, _Parts(), _Grouping())

    @property
    def n_bits(self) -> int:
        return self.file.collection.n_bits

    def code(self, id: int) -> npt.NDArray[np.uint8]:
        position = int(np.searchsorted(self.ids, id))
        if position == len(self.ids) or self.ids[position] != id:
            raise UnknownItemError(f"there is no item {id} in this collection")
        code: npt.NDArray[np.uint8] = self.codes[position]
        return code

    def codes_at(self, ids: Ids) -> Codes:
        """Return the codes of ``ids (m,)``, which are all present."""
        return self.codes[np.searchsorted(self.ids, ids)]

    def index_of(self, part: str | None) -> Index:
        """Return the index over one part of the codes, made when it is first needed, or the index over all bits."""
        if part is None:
            return self.index
        ranges = self.ranges()
        if part not in ranges:
            raise unknown_name("part of the codes", part, ranges)
        with self.parts.lock:
            if part not in self.parts.indexes:
                make_index = self.file.collection.index_factory
                self.parts.indexes[part] = PartIndex(
                    self.codes, self.n_bits, self.ids, bits=ranges[part], make_index=make_index
                )
            return self.parts.indexes[part]

    def ranges(self) -> Mapping[str, tuple[int, int]]:
        """Return the bits of each part of the codes; an index over one part, from `part_index`, has none."""
        return {} if isinstance(self.index, PartIndex) else parts_of(self.file.queries.model)

    def groups(self, radius: int) -> Sequence[Ids]:
        """Return the groups of near-duplicates, largest first, each its ids ``(m,)``, ascending."""
        with self.grouping.lock:
            if self.grouping.radius != radius:
                collection = self.file.collection
                _, cosine = limits(collection, radius)
                self.grouping.groups = group_items(collection, self.ids, self.codes, radius, cosine, self.file.pictures)
                self.grouping.radius = radius
            return self.grouping.groups


class _Parts:
    """The indexes over those parts of the codes of one state that were searched."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.indexes: dict[str, Index] = {}


class _Grouping:
    """The groups of one state for the last radius."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.radius = -1
        self.groups: Sequence[Ids] = ()
