"""The page of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

from gannet.codes import n_bytes
from gannet.pages.pictures import Neighbor, Query, all_tiny, make_picture, pictures_of
from gannet.pages.rendering import render

if TYPE_CHECKING:
    from gannet.retrieval.query import Answer


def search_page(answers: Sequence[Answer], title: str, n_bits: int, picture: Callable[[str], bytes | None]) -> str:
    """Return the HTML page of a search.

    Parameters
    ----------
    answers : sequence of Answer
        Queries and their neighbors, as `gannet.retrieval.query.search` returns them.
    title : str
        Heading of the page.
    n_bits : int
        Length of the codes in bits.
    picture : callable
        Function from an item's path to its JPEG thumbnail, or to None if it has no picture. `read_picture` is one. It
        is called once per path.

    Returns
    -------
    str
        The page, complete in one file.

    Raises
    ------
    GannetError
        If ``n_bits`` is less than 1.
    """
    n_bytes(n_bits)
    shown = cache(lambda path: make_picture(path, picture(path)))
    queries = []
    for answer in answers:
        asked = shown(answer["query"])
        found = [(shown(item["path"]), item["distance"]) for item in answer["results"]]
        queries.append(Query(asked, asked.name, [Neighbor(near, near.name, distance) for near, distance in found]))
    return render("search.html", title=title, n_bits=n_bits, queries=queries, tiny=all_tiny(pictures_of(queries)))
