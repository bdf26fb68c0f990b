"""From what a person types as a query to its neighbours in a collection."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.data.base import absolute
from gannet.errors import GannetError
from gannet.search.collection import Collection

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

_LARGEST_ID = 2**63 - 1


class Neighbour(TypedDict):
    """One result: the item and how many bits differ."""

    id: int
    path: str
    distance: int


class Answer(TypedDict):
    """The neighbours of one query, by distance, then id."""

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

    def code(self, query: str) -> Codes:
        """Return the code ``(1, w)`` of a query.

        Raises: `GannetError` where it is none of these, or of another kind than the collection's model takes.
        """
        if is_id(query):
            return self._collection.code([parse_id(query)])
        ids = self._collection.find_path(query)
        if len(ids):
            return self._collection.code(ids[:1])
        from gannet.data import open_row

        row = open_row(query)
        return self._image_code(query) if row is None else self._row_code(query, row)

    def _row_code(self, query: str, row: npt.NDArray[Any]) -> Codes:
        if self._model.backbone is not None:
            raise GannetError(f"{query} is a row of a matrix, but this collection is of images: give an image")
        try:
            return self._model.encoder.encode(row)
        except GannetError as error:
            raise GannetError(f"{query} cannot be encoded: {error}") from None

    def _image_code(self, query: str) -> Codes:
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
        return self._model.encoder.encode(found.values)

    @functools.cached_property
    def _model(self) -> Model:
        return read_model(self._collection)

    @functools.cached_property
    def _hasher(self) -> ImageHasher:
        from gannet.image_hasher import ImageHasher

        return ImageHasher.of(self._model)


def read_model(collection: Collection) -> Model:
    """Return the collection's model.

    Raises: `GannetError` where it is damaged, or makes codes of another length than the collection's.
    """
    from gannet.model import Model

    model = Model.from_bytes(collection.model(), "the collection's model")
    if model.n_bits != collection.n_bits:
        raise GannetError(
            f"the collection holds codes of {collection.n_bits} bits, but its model makes {model.n_bits}: make it "
            "again with `gannet index`"
        )
    return model


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
