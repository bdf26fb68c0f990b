"""A target kept open for searches from many threads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from gannet.engines import Target
from gannet.engines.target import MissingItemError
from gannet.errors import GannetError
from gannet.retrieval._matches import checked_plan, find_matches
from gannet.retrieval._query_encoder import QueryEncoder
from gannet.retrieval.found import CodedItem, EncodedQuery, Matches
from gannet.retrieval.live import UnknownItemError

T = TypeVar("T")

_TRIES = 5
_RANGE = 1 << 10


class LiveTarget:
    """Searches a target from many threads; it has the methods of `gannet.retrieval.live.LiveCollection`.

    Nothing is kept in memory besides the model, so that several servers may answer from one target. Items cannot be
    removed, and near-duplicates are found in the collection only.

    Parameters
    ----------
    target : Target
        An open target, which is closed with this object.
    """

    editable = False
    parts: Sequence[str] = ()
    duplicate_limits = (0, 0.0)

    def __init__(self, target: Target) -> None:
        self._target = target
        self._queries = QueryEncoder(target)

    def __len__(self) -> int:
        return len(self._target)

    @property
    def name(self) -> str:
        """Address of the target, without credentials."""
        return self._target.name

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self._target.n_bits

    @property
    def takes_texts(self) -> bool:
        """Whether the model can be read and has a text network, for `encode_text`."""
        with contextlib.suppress(GannetError):
            return self._queries.model.texts is not None
        return False

    def warm_up(self) -> None:
        """Do nothing: a search needs no preparation here."""

    def close(self) -> None:
        """Close the target."""
        self._target.close()

    def info(self) -> dict[str, Any]:
        """Return general information about the target.

        Returns
        -------
        dict of str to object
            See `Target.info`.
        """
        return self._target.info()

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
        try:
            return CodedItem(id, self._target.paths([id])[0], self._target.codes([id])[0])
        except MissingItemError as error:
            raise UnknownItemError(str(error)) from error

    def sample(self, n: int) -> list[tuple[int, str]]:
        """Return some items, spread evenly over the ids; fewer if many items were removed.

        Parameters
        ----------
        n : int
            Largest number of items.

        Returns
        -------
        list of (int, str)
            Ids and paths, in ascending order of the ids.
        """
        stop = self._target.stop

        def find() -> list[tuple[int, str]]:
            starts = sorted({i * stop // n for i in range(n)})
            ranges = zip(starts, [*starts[1:], stop], strict=True)
            firsts = [self._target.engine.marks(start, min(end, start + _RANGE))[0][:1] for start, end in ranges]
            ids = np.concatenate([*firsts, np.empty(0, np.int64)])
            return list(zip(ids.tolist(), self._target.paths(ids), strict=True))

        return _repeated(find)

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
            Weights of the query's bits, from `encode`; see `gannet.retrieval.live.LiveCollection.search`.
        part : str, default=None
            Refused: an engine compares whole codes.

        Returns
        -------
        Matches
            The items, ordered by distance, then by id; with weights, by score, then by distance, then by id.
        """
        if part is not None:
            raise GannetError(f"{self.name} compares whole codes: leave the part out, or search the collection")
        plan = checked_plan(k, radius, weights)
        return _repeated(lambda: find_matches(self._target.searcher(), self._target.paths, plan, code, radius, weights))

    def duplicates(self, radius: int, offset: int, limit: int, members: int) -> NoReturn:
        """Raise an error: near-duplicates are found in the collection.

        Parameters
        ----------
        radius, offset, limit, members : int
            Not used.

        Raises
        ------
        GannetError
            Always.
        """
        raise GannetError("near-duplicates are not searched in a target: use `gannet duplicates` with the collection")

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
        """
        return self._queries.encode(image)

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
        """
        return self._queries.encode_text(text)

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
        return id in self._target.find_digests([digest]).get(digest, ())

    def remove(self, id: int) -> NoReturn:
        """Raise an error: a target follows its collection.

        Parameters
        ----------
        id : int
            Not used.

        Raises
        ------
        GannetError
            Always.
        """
        raise GannetError(f"{self.name} cannot be changed: remove items from the collection, and export it with --sync")


def _repeated(find: Callable[[], T]) -> T:
    """Return what ``find`` returns, with more tries if items are removed between two of its steps."""
    for _ in range(_TRIES - 1):
        try:
            return find()
        except MissingItemError:
            pass
    return find()
