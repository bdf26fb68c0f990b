"""``gannet search``: find the nearest items to queries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gannet.cli.output import check_page, say, say_json

if TYPE_CHECKING:
    from gannet.collection import Collection
    from gannet.retrieval.query import Answer


@click.command(epilog="Example: gannet search photos.gannet query.jpg -k 20 --html neighbors.html")
@click.argument("collection")
@click.argument("queries", nargs=-1, required=True, metavar="QUERY...")
@click.option("-k", default=10, show_default=True, help="Number of results per query.")
@click.option(
    "--radius",
    default=None,
    type=int,
    metavar="R",
    help="Return all items that differ in at most R bits, instead of the nearest k.",
)
@click.option(
    "--rerank",
    default=None,
    type=int,
    metavar="N",
    help="Order the nearest N items by the cosine of their float features, and return the first k.",
)
@click.option("--index", default="hamming", show_default=True, metavar="NAME", help="The index to search with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", default=None, metavar="FILE", help="Write an HTML page with the pictures to FILE.")
def search(
    collection: str,
    queries: Sequence[str],
    k: int,
    radius: int | None,
    rerank: int | None,
    index: str,
    as_json: bool,
    page: str | None,
) -> None:
    """Find the nearest items of COLLECTION to each QUERY.

    A QUERY is the id or the path of an item in COLLECTION, an image file, or a row of a matrix, such as vectors.npy#17.
    Results are ordered by Hamming distance, the number of bits that differ, and then by id.

    --rerank orders the results by cosine instead. It needs a collection that was created with
    `gannet index --keep-features`.
    """
    from gannet.collection import Collection
    from gannet.retrieval import query as search_query

    if page is not None:
        check_page(Path(page))
    with Collection.open(collection, readonly=True, index=index) as store:
        answers = search_query.search(store, queries, k, radius, rerank)
        if page is not None:
            _write_page(store, answers, Path(page))
    if as_json:
        say_json(answers)
        return
    for answer in answers:
        say(f"{answer['query']}")
        for item in answer["results"]:
            cosine = f"{item['cosine']:.4f}  " if "cosine" in item else ""
            say(f"{cosine}{item['distance']:>5}  {item['id']:>8}  {item['path']}")
    if page is not None:
        say(f"wrote {page}")


def _write_page(store: Collection, answers: Sequence[Answer], file: Path) -> None:
    from gannet.pages import read_picture, search_page
    from gannet.retrieval.query import is_id
    from gannet.support.atomic import write_atomically

    # A query by id is shown with the picture of its item.
    items = {query: store.path(int(query)) for query in (answer["query"] for answer in answers) if is_id(query)}
    title = f"Neighbors in {store.name}"
    page = search_page(answers, title, store.n_bits, lambda name: read_picture(items.get(name, name)))
    write_atomically(file, page.encode())
