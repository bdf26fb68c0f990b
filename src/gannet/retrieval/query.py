"""Search of a collection by queries as text; `gannet.retrieval.queries` reads the queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, TypedDict

import numpy as np

from gannet.collection.collection import Collection
from gannet.data.base import absolute
from gannet.data.options import ReadOptions
from gannet.errors import GannetError
from gannet.retrieval.plan import Ranked, compared_weights, make_plan
from gannet.retrieval.queries import Query, is_id, parse_id, read_queries, read_texts
from gannet.retrieval.searchable import Searchable

if TYPE_CHECKING:
    from gannet.backbones import TextNetworkLike

QUERIES_AT_ONCE = 1000
"""Queries that are searched together: their candidates are in memory at the same time."""

_DEFAULTS = ReadOptions()


class Neighbor(TypedDict):
    """One result: an item and its distance in bits.

    Results that are ordered by score also have their ``score``, -1 to 1, and re-ranked ones the ``cosine`` of the
    features. ``changed`` is present, and true, if the item's file was found to have changed since it was indexed.
    """

    id: int
    path: str
    distance: int
    score: NotRequired[float]
    cosine: NotRequired[float]
    changed: NotRequired[bool]


class Answer(TypedDict):
    """The neighbors of one query: by score or, if they have none, by distance, then id; re-ranked ones by cosine.

    ``error`` is present if the query could not be answered. ``changed`` is present, and true, if the query names an
    item whose content has changed since it was indexed. ``text`` is present, and true, if the query is a text.
    """

    query: str
    results: list[Neighbor]
    error: NotRequired[str]
    changed: NotRequired[bool]
    text: NotRequired[bool]


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
    collection: Searchable,
    queries: Sequence[str] = (),
    k: int = 10,
    radius: int | None = None,
    rerank: int | None = None,
    asymmetric: int | bool | None = None,
    options: ReadOptions = _DEFAULTS,
    *,
    texts: Sequence[str] = (),
    text_network: TextNetworkLike | None = None,
) -> list[Answer]:
    """Find the items of a collection that are nearest to each query.

    Parameters
    ----------
    collection : Collection or Target
        An open collection, or a `gannet.engines.Target` to which one was exported.
    queries : sequence of str, default=()
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
    asymmetric : int or bool, default=None
        Order the nearest ``asymmetric`` items, 1,000 if True, by their score (`gannet.scoring.asymmetric_scores`): it
        weighs each bit by the real values of the query, which is more accurate than counting the bits that differ.
        True orders all items within ``radius``. With ``rerank``, the items with the best scores are re-ranked. By
        default, a query is answered in this way if it is a text, or an image or a row that can be read, and neither
        ``radius`` nor ``rerank`` is given. A query by id has no values; if ``asymmetric`` is given, it is not answered.
    options : ReadOptions, default=ReadOptions()
        How matrices, folders, archives and images among the queries are read.
    texts : sequence of str, default=()
        Further queries: texts such as ``"a red car"``, if the collection's model has a text network.
    text_network : object, default=None
        The text network, if it is an object that was passed when the model was learned.

    Returns
    -------
    list of Answer
        One dict per query, those of ``texts`` last, with ``query`` and ``results``. A result has ``id``, ``path``,
        ``distance`` in bits, if ordered by score ``score``, and if re-ranked ``cosine``. Results are ordered by cosine
        or else by score, largest first, then by distance, then by id. A query that cannot be answered has no results,
        and an ``error``. A query by the path of an item whose content has changed since it was indexed has a true
        ``changed``, and one of ``texts`` a true ``text``.

    Raises
    ------
    GannetError
        If no query can be answered, if ``k``, ``radius``, ``rerank`` or ``asymmetric`` is out of range, or if the
        collection keeps no features for ``rerank``.

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
    answers = answer_all(
        collection, queries, k, radius, rerank, asymmetric, options, texts=texts, text_network=text_network
    )
    check_answered(answers)
    return answers


def answer_all(
    collection: Searchable,
    queries: Sequence[str],
    k: int = 10,
    radius: int | None = None,
    rerank: int | None = None,
    asymmetric: int | bool | None = None,
    options: ReadOptions = _DEFAULTS,
    *,
    texts: Sequence[str] = (),
    text_network: TextNetworkLike | None = None,
) -> list[Answer]:
    """Return the answers of `search`, also if no query could be answered."""
    plan = make_plan(k, radius, rerank, asymmetric)
    if rerank is not None:
        collection.features([])  # raises an error early if the collection keeps none
    weigh = plan.n_scored is not None
    read = read_queries(collection, queries, weigh, options) + read_texts(collection, texts, weigh, text_network)
    answers = [Answer(query=query.name, results=[]) for query in read]
    for answer in answers[len(read) - len(texts) :]:
        answer["text"] = True
    with collection.snapshot():
        _look_up_codes(collection, read, must_weigh=weigh and asymmetric is not None)
        searcher = collection.searcher()
        for query in read:
            if query.weights is not None:
                query.weights = compared_weights(searcher.index, query.weights)
        for weighed in (False, True):
            places = [
                i for i, query in enumerate(read) if query.code is not None and (query.weights is not None) is weighed
            ]
            for start in range(0, len(places), QUERIES_AT_ONCE):
                some = places[start : start + QUERIES_AT_ONCE]
                codes = np.array([read[i].code for i in some], np.uint8)
                for i, found in zip(some, plan.candidates(searcher.index, codes, weighed), strict=True):
                    answers[i]["results"] = _neighbors(collection, plan.order(collection, searcher, read[i], found))
    for query, answer in zip(read, answers, strict=True):
        if query.error is not None:
            answer["error"] = query.error
        if query.changed:
            answer["changed"] = True
    return answers


def _look_up_codes(collection: Searchable, queries: Sequence[Query], must_weigh: bool) -> None:
    """Fill in the codes of queries that are items; a query without the weights that it must have gets an error."""
    for query in queries:
        if query.item is not None:
            try:
                query.code = collection.codes([query.item])[0]
            except GannetError as error:
                query.error = str(error)
        if must_weigh and query.code is not None and query.weights is None:
            query.code = None
            query.error = (
                f"{query.name} is answered from its stored code, which has no values to score with: give an image or a "
                "row that can be read, or search without `asymmetric`"
            )


def check_answered(answers: Sequence[Answer]) -> None:
    """Raise a `GannetError` if there are queries, and none of them could be answered."""
    errors = [answer["error"] for answer in answers if "error" in answer]
    if errors and len(errors) == len(answers):
        more = f" (and {len(errors) - 1:,} more queries that cannot be answered)" if len(errors) > 1 else ""
        raise GannetError(errors[0] + more)


def _neighbors(collection: Searchable, found: Ranked) -> list[Neighbor]:
    results = [
        Neighbor(id=int(id_), path=path, distance=int(distance))
        for id_, path, distance in zip(found.ids, collection.paths(found.ids), found.distances, strict=True)
    ]
    for key, values in (("score", found.scores), ("cosine", found.cosines)):
        if values is not None:
            for result, value in zip(results, values, strict=True):
                result[key] = round(float(value), 6)  # type: ignore[literal-required]
    return results
