"""The page of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gannet.codes import n_bytes
from gannet.pages.pictures import Album, Neighbor, Picture, Query, all_tiny, pictures_of
from gannet.pages.rendering import render
from gannet.retrieval.queries import is_id

if TYPE_CHECKING:
    from gannet.retrieval.query import Answer


#: The page shows only this many queries, and this many results of each.
QUERIES, RESULTS = 200, 100


def search_page(answers: Sequence[Answer], title: str, n_bits: int, picture: Callable[[str], bytes | None]) -> str:
    """Return the HTML page of a search: the first 200 queries, and the first 100 results of each.

    Pictures are embedded until they take about 32 MB together. An item or a query by id whose file has changed since it
    was indexed is shown without its picture, and so is a text. A query that could not be answered is shown with the
    reason. ``picture`` maps the path of an item to its JPEG thumbnail, or to None if it has none, and is called at most
    once per path.
    """
    n_bytes(n_bits)
    album = Album(picture)
    queries = []
    for answer in answers[:QUERIES]:
        error, changed = answer.get("error"), answer.get("changed", False)
        stale = changed and is_id(answer["query"])  # a file given as the query is shown with its present content
        if "text" in answer:
            asked = Picture(answer["query"], answer["query"], None, tiny=False, changed=False)
        else:
            asked = album.picture(answer["query"], changed, hidden=stale or error is not None)
        near = []
        for item in answer["results"][:RESULTS]:
            changed = item.get("changed", False)
            shown = album.picture(item["path"], changed, hidden=changed)
            near.append(Neighbor(shown, shown.name, item["distance"], score=item.get("score")))
        queries.append(Query(asked, asked.name, near, len(answer["results"]), error))
    return render(
        "search.html",
        title=title,
        n_bits=n_bits,
        n_queries=len(answers),
        queries=queries,
        left_out=album.left_out,
        scored=any(neighbor.score is not None for query in queries for neighbor in query.neighbors),
        tiny=all_tiny(pictures_of(queries)),
    )
