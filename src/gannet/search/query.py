"""From what a person types as a query to its neighbours in a collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from gannet.codes import Codes
from gannet.errors import GannetError
from gannet.search.collection import Collection

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher


class Neighbour(TypedDict):
    """One result: the item and how many bits differ."""

    id: int
    path: str
    distance: int


class Answer(TypedDict):
    """The neighbours of one query, by distance, then id."""

    query: str
    results: list[Neighbour]


class QueryReader:
    """Turns queries into codes: ids, rows of a matrix (``vectors.npy#3``), images, and paths of items.

    The collection's model is read only if a query needs it.
    """

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._hasher: ImageHasher | None = None

    def code(self, query: str) -> Codes:
        """Return the code ``(1, w)`` of a query.

        Raises: `GannetError` where it is none of these, or of another kind than the collection's model takes.
        """
        if query.isascii() and query.isdigit():
            return self._collection.code([int(query)])
        ids = self._collection.find_path(query)
        if len(ids):
            return self._collection.code(ids[:1])
        from gannet.data import open_row, read_item
        from gannet.model import Model

        row = open_row(query)
        if row is not None:
            model = Model.from_bytes(self._collection.model(), "the collection's model")
            if model.backbone is not None:
                raise GannetError(f"{query} is a row of a matrix, but this collection is of images: give an image")
            return model.encoder.encode(row)
        return self._image_hasher().encode([read_item(query)])

    def _image_hasher(self) -> ImageHasher:
        if self._hasher is None:
            from gannet.image_hasher import ImageHasher
            from gannet.model import Model

            self._hasher = ImageHasher.of(Model.from_bytes(self._collection.model(), "the collection's model"))
        return self._hasher


def search(collection: Collection, queries: Sequence[str], k: int = 10, radius: int | None = None) -> list[Answer]:
    """Return the ``k`` nearest items of each query, or, with ``radius``, all items that differ in at most as many bits.

    Raises: `GannetError` for a query that cannot be read, and for k or radius out of range.
    """
    reader = QueryReader(collection)
    codes = np.concatenate([reader.code(query) for query in queries])
    index = collection.index()
    found = zip(*index.search(codes, k), strict=True) if radius is None else index.radius(codes, radius)
    answers: list[Answer] = []
    for query, (distances, ids) in zip(queries, found, strict=True):
        paths = collection.paths(ids)
        results = [
            Neighbour(id=int(i), path=path, distance=int(distance))
            for i, path, distance in zip(ids, paths, distances, strict=True)
        ]
        answers.append(Answer(query=query, results=results))
    return answers
