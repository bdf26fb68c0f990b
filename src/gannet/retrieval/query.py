"""Search of a collection by queries as text: ids, image files, paths of items and rows of a matrix."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids
from gannet.collection.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.collection.stored_model import read_model
from gannet.data.base import absolute
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

_LARGEST_ID = 2**63 - 1


class Neighbor(TypedDict):
    """One result: an item and its distance in bits; re-ranked results also have the cosine of the features."""

    id: int
    path: str
    distance: int
    cosine: NotRequired[float]


class Answer(TypedDict):
    """The neighbors of one query, by distance, then id; re-ranked neighbors by cosine, largest first."""

    query: str
    results: list[Neighbor]


def is_id(query: str) -> bool:
    """Return whether a query is the id of an item."""
    return query.isascii() and query.isdigit()


def parse_id(text: str) -> int:
    """Return the id that a string of digits represents."""
    if len(text) > 19 or int(text) > _LARGEST_ID:
        raise GannetError(f"no item has the id {text}: ids are at most {_LARGEST_ID}")
    return int(text)


def find_items(collection: Collection, names: Sequence[str]) -> list[int]:
    """Return the distinct ids of items given by id or by path, absolute or relative.

    A path stands for all items with that path. Ids are not looked up. Raises a `GannetError` for a path that no item
    has.
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
    """Converts queries to codes; the collection's model is read only if a query needs it."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._read: dict[str, npt.NDArray[Any]] = {}

    def code(self, query: str) -> Codes:
        """Return the code ``(1, w)`` of a query.

        Raises a `GannetError` if the query cannot be read, or if the collection's model takes another kind of input.
        """
        item = self._item(query)
        if item is not None:
            return self._collection.codes([item])
        values = self._values(query)
        try:
            return self._model.encoder.encode(values)
        except GannetError as error:
            raise GannetError(f"{query} cannot be encoded: {error}") from None

    def features(self, query: str) -> npt.NDArray[np.float16]:
        """Return the features ``(1, d)`` of a query at unit length in half precision, as a collection keeps them.

        Raises a `GannetError` as `code` does, and for an item of a collection without features.
        """
        item = self._item(query)
        return half_unit(self._values(query)) if item is None else self._collection.features([item])

    def _item(self, query: str) -> int | None:
        """Return the id of the item that a query names by id or path, or None."""
        if is_id(query):
            return parse_id(query)
        ids = self._collection.find_path(query)
        return int(ids[0]) if len(ids) else None

    def _values(self, query: str) -> npt.NDArray[Any]:
        """Return the features ``(1, d)`` of an image or a row of a matrix, which is read once."""
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
    """Find the items of a collection that are nearest to each query.

    Parameters
    ----------
    collection : Collection
        An open collection.
    queries : sequence of str
        Queries, each the id of an item, an image file, the path of an item, or a row of a matrix such as
        ``"vectors.npy#17"``.
    k : int, default=10
        Number of results per query.
    radius : int, default=None
        Return all items that differ in at most this many bits, in place of the ``k`` nearest.
    rerank : int, default=None
        Order the nearest ``rerank`` items by the cosine of their features, and return the first ``k`` of them. The
        collection must keep features.

    Returns
    -------
    list of Answer
        One dict per query, with ``query`` and ``results``. A result has ``id``, ``path``, ``distance`` in bits and, if
        re-ranked, ``cosine``. Results are ordered by distance, then id; re-ranked results by cosine, largest first.

    Raises
    ------
    GannetError
        If a query cannot be read, if ``k``, ``radius`` or ``rerank`` is out of range, or if the collection keeps no
        features for ``rerank``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gannet import Collection
    >>> from gannet.encoders import Linear
    >>> from gannet.model import Model
    >>> from gannet.retrieval.query import search
    >>> model = Model(Linear(np.zeros(2, np.float32), np.eye(2, 8, dtype=np.float32), np.zeros(8, np.float32)), "lsh")
    >>> codes = np.array([[0], [255], [0]], np.uint8)
    >>> with (
    ...     tempfile.TemporaryDirectory() as folder,
    ...     Collection.create(f"{folder}/photos.gannet", model) as collection,
    ... ):
    ...     ids = collection.add(codes, ["a.jpg", "b.jpg", "copy of a.jpg"])
    ...     answers = search(collection, ["0", "b.jpg"], k=2)
    >>> answers[0]["results"]
    [{'id': 0, 'path': 'a.jpg', 'distance': 0}, {'id': 2, 'path': 'copy of a.jpg', 'distance': 0}]
    >>> answers[1]["results"][0]
    {'id': 1, 'path': 'b.jpg', 'distance': 0}
    """
    if rerank is not None:
        if radius is not None:
            raise GannetError("a search is by radius or re-ranked, not both: give one of them")
        if k < 1:
            raise GannetError(f"k must be 1 or more, not {k}")
        if rerank < k:
            raise GannetError(f"there must be as many candidates to re-rank as results: {rerank} are below {k}")
        collection.features([])  # raises an error early if the collection keeps none
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
            answers.append(Answer(query=query, results=_neighbors(collection, distances, ids, cosines)))
    return answers


def rank_by_cosine(
    query: npt.NDArray[np.float16], features: npt.NDArray[np.float16], k: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return the rows ``(min(k, n),)`` with the largest cosines to a query, in descending order, and the cosines.

    ``query (1, d)`` and ``features (n, d)`` have unit length. Rows with equal cosines keep their order.
    """
    cosines = features.astype(np.float32) @ query[0].astype(np.float32)
    order = np.argsort(-cosines, kind="stable")[:k]
    return order, cosines[order]


def _neighbors(
    collection: Collection, distances: npt.NDArray[np.int64], ids: Ids, cosines: npt.NDArray[np.float32] | None
) -> list[Neighbor]:
    results = [
        Neighbor(id=int(id_), path=path, distance=int(distance))
        for id_, path, distance in zip(ids, collection.paths(ids), distances, strict=True)
    ]
    if cosines is not None:
        for result, cosine in zip(results, cosines, strict=True):
            result["cosine"] = round(float(cosine), 6)
    return results
