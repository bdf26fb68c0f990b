"""Search of a collection by queries as text; `gannet.retrieval.queries` reads the queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids, n_bytes
from gannet.collection.collection import Collection
from gannet.data.base import absolute
from gannet.data.options import ReadOptions
from gannet.errors import GannetError
from gannet.retrieval.queries import is_id, parse_id, read_queries, stored_features

_DEFAULTS = ReadOptions()


class Neighbor(TypedDict):
    """One result: an item and its distance in bits; re-ranked results also have the cosine of the features.

    ``changed`` is present, and true, if the item's file was found to have changed since it was indexed.
    """

    id: int
    path: str
    distance: int
    cosine: NotRequired[float]
    changed: NotRequired[bool]


class Answer(TypedDict):
    """The neighbors of one query, by distance, then id; re-ranked neighbors by cosine, largest first.

    ``error`` is present if the query could not be answered. ``changed`` is present, and true, if the query names an
    item whose content has changed since it was indexed.
    """

    query: str
    results: list[Neighbor]
    error: NotRequired[str]
    changed: NotRequired[bool]


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


def search(
    collection: Collection,
    queries: Sequence[str],
    k: int = 10,
    radius: int | None = None,
    rerank: int | None = None,
    options: ReadOptions = _DEFAULTS,
) -> list[Answer]:
    """Find the items of a collection that are nearest to each query.

    Parameters
    ----------
    collection : Collection
        An open collection.
    queries : sequence of str
        Queries, each the id of an item, an image file, the path of an item, or a row of a matrix such as
        ``"vectors.npy#17"``. A folder or archive of images, or a whole matrix, stands for all its items. A path is
        answered from the present content of its file; only if that cannot be read, from the code of the item.
    k : int, default=10
        Number of results per query.
    radius : int, default=None
        Return all items that differ in at most this many bits, in place of the ``k`` nearest.
    rerank : int, default=None
        Order the nearest ``rerank`` items by the cosine of their features, and return the first ``k`` of them. The
        collection must keep features.
    options : ReadOptions, default=ReadOptions()
        How matrices, folders, archives and images among the queries are read.

    Returns
    -------
    list of Answer
        One dict per query, with ``query`` and ``results``. A result has ``id``, ``path``, ``distance`` in bits and, if
        re-ranked, ``cosine``. Results are ordered by distance, then id; re-ranked results by cosine, largest first. A
        query that cannot be answered has no results, and an ``error``. A query by the path of an item whose content has
        changed since it was indexed has a true ``changed``.

    Raises
    ------
    GannetError
        If no query can be answered, if ``k``, ``radius`` or ``rerank`` is out of range, or if the collection keeps no
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
    answers = answer_all(collection, queries, k, radius, rerank, options)
    check_answered(answers)
    return answers


def answer_all(
    collection: Collection,
    queries: Sequence[str],
    k: int = 10,
    radius: int | None = None,
    rerank: int | None = None,
    options: ReadOptions = _DEFAULTS,
) -> list[Answer]:
    """Return the answers of `search`, also if no query could be answered."""
    if rerank is not None:
        if radius is not None:
            raise GannetError("a search is by radius or re-ranked, not both: give one of them")
        if k < 1:
            raise GannetError(f"k must be 1 or more, not {k}")
        if rerank < k:
            raise GannetError(f"there must be as many candidates to re-rank as results: {rerank} are below {k}")
        collection.features([])  # raises an error early if the collection keeps none
    read = read_queries(collection, queries, options)
    answers = [Answer(query=query.name, results=[]) for query in read]
    with collection.snapshot():
        for query in read:
            if query.item is not None:
                try:
                    query.code = collection.codes([query.item])[0]
                except GannetError as error:
                    query.error = str(error)
        answered = [i for i, query in enumerate(read) if query.code is not None]
        empty = np.empty((0, n_bytes(collection.n_bits)), np.uint8)
        codes = np.array([read[i].code for i in answered], np.uint8) if answered else empty
        index = collection.index()
        if radius is not None:
            found = index.radius(codes, radius)
        else:
            found = list(zip(*index.search(codes, k if rerank is None else rerank), strict=True))
        for i, (distances, ids) in zip(answered, found, strict=True):
            cosines = None
            if rerank is not None:
                features = stored_features(collection, read[i])
                order, cosines = rank_by_cosine(features, collection.features(ids), k)
                distances, ids = distances[order], ids[order]
            answers[i]["results"] = _neighbors(collection, distances, ids, cosines)
    for query, answer in zip(read, answers, strict=True):
        if query.error is not None:
            answer["error"] = query.error
        if query.changed:
            answer["changed"] = True
    return answers


def check_answered(answers: Sequence[Answer]) -> None:
    """Raise a `GannetError` if there are queries, and none of them could be answered."""
    errors = [answer["error"] for answer in answers if "error" in answer]
    if errors and len(errors) == len(answers):
        more = f" (and {len(errors) - 1:,} more queries that cannot be answered)" if len(errors) > 1 else ""
        raise GannetError(errors[0] + more)


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
