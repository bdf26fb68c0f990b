"""From what a person types as a query to its neighbours in a collection."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.collection.arguments import Ids
from gannet.collection.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.collection.stored_model import read_model
from gannet.data.base import absolute
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

_LARGEST_ID = 2**63 - 1


class Neighbour(TypedDict):
    """One result: the item and how many bits differ; where results are re-ranked, also the cosine of the features."""

    id: int
    path: str
    distance: int
    cosine: NotRequired[float]


class Answer(TypedDict):
    """The neighbours of one query, by distance, then id; where re-ranked, by cosine, the largest first."""

    query: str
    results: list[Neighbour]


def is_id(query: str) -> bool:
    """Return whether a query names an item by its id."""
    return query.isascii() and query.isdigit()


def parse_id(text: str) -> int:
    """Return the id that a text of digits names."""
    if len(text) > 19 or int(text) > _LARGEST_ID:
        raise GannetError(f"no item has the id {text}: ids are at most {_LARGEST_ID}")
    return int(text)


def find_items(collection: Collection, names: Sequence[str]) -> list[int]:
    """Return the ids, each once, of the items named by id or path; a path may be relative, and names all its items.

    Raises: `GannetError` for a path that no item has. Ids are not looked up.
    """
    ids: dict[int, None] = {}
    for name in names:
        if is_id(name):
            ids[parse_id(name)] = None
            continue
        found = collection.find_path(name).tolist() or collection.find_path(absolute(name)).tolist()
        if not found:
            raise GannetError(f"no item of {collection.name} has the path {name}; give it as `gannet search` shows it")
        ids.update(dict.fromkeys(found))
    return list(ids)


class QueryReader:
    """Turns queries into codes: ids, rows of a matrix (``vectors.npy#3``), images, and paths of items.

    The collection's model is read only if a query needs it.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._read: dict[str, npt.NDArray[Any]] = {}

    def code(self, query: str) -> Codes:
        """Return the code ``(1, w)`` of a query.

        Raises: `GannetError` where it is none of these, or of another kind than the collection's model takes.
        """
        item = self._item(query)
        if item is not None:
            return self._collection.code([item])
        values = self._values(query)
        try:
            return self._model.encoder.encode(values)
        except GannetError as error:
            raise GannetError(f"{query} cannot be encoded: {error}") from None

    def features(self, query: str) -> npt.NDArray[np.float16]:
        """Return the features ``(1, d)`` of a query as a collection keeps them: at unit length, in half precision.

        Raises: `GannetError` as `code` does, and for an item of a collection that keeps none.
        """
        item = self._item(query)
        return half_unit(self._values(query)) if item is None else self._collection.features([item])

    def _item(self, query: str) -> int | None:
        """Return the id that the query is or that has it as its path."""
        if is_id(query):
            return parse_id(query)
        ids = self._collection.find_path(query)
        return int(ids[0]) if len(ids) else None

    def _values(self, query: str) -> npt.NDArray[Any]:
        """Return the features ``(1, d)`` of a query that is no item, read once."""
        if query not in self._read:
            from gannet.data import open_row

            row = open_row(query)
            self._read[query] = self._image_values(query) if row is None else self._row_values(query, row)
        return self._read[query]

    def _row_values(self, query: str, row: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if self._model.backbone is not None:
            raise GannetError(f"{query} is a row of a matrix, but this collection is of images: give an image")
        return row

    def _image_values(self, query: str) -> npt.NDArray[Any]:
        from gannet.data import read_item

        if self._model.backbone is None:
            raise GannetError(
                f"{query} is no item of this collection, and it takes vectors, not images: give an id or a row of a "
                "matrix, as in vectors.npy#17"
            )
        try:
            image = read_item(query)
        except GannetError as error:
            raise GannetError(f"{query} is neither an id, an item nor an image that can be read: {error}") from None
        found = self._hasher.features([image])
        if found.skipped:
            raise GannetError(f"{query} cannot be used as a query: {found.skipped[0].reason}")
        return found.values

    @functools.cached_property
    def _model(self) -> Model:
        return read_model(self._collection)

    @functools.cached_property
    def _hasher(self) -> ImageHasher:
        from gannet.image_hasher import ImageHasher

        return ImageHasher(model=self._model)


def search(
    collection: Collection, queries: Sequence[str], k: int = 10, radius: int | None = None, rerank: int | None = None
) -> list[Answer]:
    """Return the ``k`` nearest items of each query, or, with ``radius``, all items that differ in at most as many bits.

    With ``rerank`` the nearest that many items by Hamming distance are ordered by the cosine of their features, and
    the first ``k`` of them returned.

    Raises: `GannetError` for a query that cannot be read, for k, radius or rerank out of range, and for ``rerank``
        where the collection keeps no features.
    """
    if rerank is not None:
        if radius is not None:
            raise GannetError("a search is by radius or re-ranked, not both: give one of them")
        if k < 1:
            raise GannetError(f"k must be 1 or more, not {k}")
        if rerank < k:
            raise GannetError(f"there must be as many candidates to re-rank as results: {rerank} are below {k}")
        collection.features([])  # says where there are none, before the work
    reader = QueryReader(collection)
    codes = np.concatenate([reader.code(query) for query in queries])
    answers: list[Answer] = []
    with collection.snapshot():
        index = collection.index()
        if radius is not None:
            found = index.radius(codes, radius)
        else:
            found = list(zip(*index.search(codes, k if rerank is None else rerank), strict=True))
        for query, (distances, ids) in zip(queries, found, strict=True):
            cosines = None
            if rerank is not None:
                order, cosines = rank_by_cosine(reader.features(query), collection.features(ids), k)
                distances, ids = distances[order], ids[order]
            answers.append(Answer(query=query, results=_neighbours(collection, distances, ids, cosines)))
    return answers


def rank_by_cosine(
    query: npt.NDArray[np.float16], features: npt.NDArray[np.float16], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the places ``(min(k, n),)`` of the rows nearest to a query by cosine, the nearest first, and the cosines.

    ``query (1, d)`` and ``features (n, d)`` are of unit length. Equal cosines keep the order of the rows.
    """
    cosines = features.astype(np.float32) @ query[0].astype(np.float32)
    order = np.argsort(-cosines, kind="stable")[:k]
    return order, cosines[order]


def _neighbours(
    collection: Collection, distances: npt.NDArray[np.int64], ids: Ids, cosines: npt.NDArray[np.float32] | None
) -> list[Neighbour]:
    results = [
        Neighbour(id=int(id_), path=path, distance=int(distance))
        for id_, path, distance in zip(ids, collection.paths(ids), distances, strict=True)
    ]
    if cosines is not None:
        for result, cosine in zip(results, cosines, strict=True):
            result["cosine"] = round(float(cosine), 6)
    return results
