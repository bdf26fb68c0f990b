"""``gannet search``: find the nearest items to queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gannet.cli.indexes import check_no_index, chosen_index
from gannet.cli.output import changed_note, check_page, say, say_json, warn_not_compared
from gannet.cli.sources import reading_options
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.collection import Collection
    from gannet.engines import Target
    from gannet.retrieval.query import Answer
    from gannet.retrieval.searchable import Searchable


def _number_or_default(context: click.Context, parameter: click.Parameter, text: str | None) -> int | bool | None:
    """Return the number that an option was given, True if it was given none, and None without the option."""
    try:
        return int(text) if text else None if text is None else True
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no number of items: give one, or put the option after the queries", context, parameter
        ) from None


@click.command(epilog="Example: gannet search photos.gannet query.jpg -k 20 --html neighbors.html")
@click.argument("collection", metavar="COLLECTION|TARGET")
@click.argument("queries", nargs=-1, metavar="QUERY...")
@click.option(
    "--text",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="Search by a text, such as 'a red car'; repeatable. The network of the collection's model must take texts.",
)
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
@click.option(
    "--asymmetric",
    is_flag=False,
    flag_value="",
    default=None,
    callback=_number_or_default,
    metavar="[N]",
    help="Order the nearest N items by score, 1,000 by default. Images and rows are searched in this way anyway.",
)
@click.option("--no-asymmetric", is_flag=True, help="Order by Hamming distance only.")
@click.option("--index", default="hamming", show_default=True, metavar="NAME", help="The index to search with.")
@click.option(
    "--part",
    default=None,
    metavar="kind|nearest",
    help="Of hybrid codes: compare the bits for things of the same kind alone, or those for the nearest features.",
)
@reading_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", default=None, metavar="FILE", help="Write an HTML page with the pictures to FILE.")
def search(
    collection: str,
    queries: Sequence[str],
    texts: Sequence[str],
    k: int,
    radius: int | None,
    rerank: int | None,
    asymmetric: int | bool | None,
    no_asymmetric: bool,
    index: str,
    part: str | None,
    as_json: bool,
    page: str | None,
    **reading: Any,
) -> None:
    """Find the nearest items of COLLECTION to each QUERY and each TEXT.

    In place of a collection, a TARGET may be given to which `gannet export` has written one.

    A QUERY is the id or the path of an item in COLLECTION, an image file, or a row of a matrix, such as vectors.npy#17.
    A folder or .zip of images, or a whole matrix, stands for each of its items.

    The nearest items by Hamming distance, the number of bits that differ, are found first. If the query is an image, a
    row or a text, they are then ordered by their score, -1 to 1, which weighs each bit by the real values of the query.
    The results of an id are ordered by distance and then by id.

    A path is answered from the present content of its file. Queries and results whose files have changed since they
    were indexed are marked. A query that cannot be answered is named in its place; the exit status is 2 only if none
    could be answered.

    --part compares only some bits of the codes of a model that `gannet fit --method hybrid` learned.

    --rerank orders the nearest N by cosine instead, or with --asymmetric the N with the best scores. It needs a
    collection that was created with `gannet index --keep-features`.
    """
    from gannet.data.options import ReadOptions
    from gannet.retrieval import query as search_query
    from gannet.retrieval.contents import mark_items

    if not queries and not texts:
        raise GannetError("there is nothing to search for: give a QUERY, or --text TEXT")
    if no_asymmetric and asymmetric is not None:
        raise GannetError("--asymmetric and --no-asymmetric exclude each other: give one of them")
    if page is not None:
        check_page(Path(page))
    with _open(collection, index, part) as store:
        order = False if no_asymmetric else asymmetric
        options = ReadOptions(**reading)
        answers = search_query.answer_all(store, queries, k, radius, rerank, order, options, texts=texts)
        if len(answers) == 1:
            search_query.check_answered(answers)
        asked = _asked_items(store, answers)
        shown = [item for answer in answers for item in answer["results"]]
        not_compared = mark_items(store, [*asked.values(), *shown])
        for query, item in asked.items():
            if "changed" in item:
                answers[query]["changed"] = True
        if page is not None:
            pictures = {answers[query]["query"]: item["path"] for query, item in asked.items()}
            _write_page(store, answers, pictures, Path(page))
    if as_json:
        say_json(answers)
    else:
        _print(answers)
        if page is not None:
            say(f"wrote {page}")
    warn_not_compared(not_compared)
    search_query.check_answered(answers)


def _open(name: str, index: str, part: str | None) -> Collection | Target:
    from gannet.collection import Collection
    from gannet.engines import is_target, open_target

    if is_target(name):
        check_no_index(index, part)
        return open_target(name)
    return Collection.open(name, readonly=True, index=chosen_index(name, index, part))


def _print(answers: Sequence[Answer]) -> None:
    for answer in answers:
        if "error" in answer:
            say(f"{answer['query']}: not answered: {answer['error']}")
            continue
        say(answer["query"] + changed_note(answer))
        for item in answer["results"]:
            cosine = f"{item['cosine']:.4f}  " if "cosine" in item else ""
            score = f"{item['score']:7.4f}  " if "score" in item else ""
            say(f"{cosine}{score}{item['distance']:>5}  {item['id']:>8}  {item['path']}{changed_note(item)}")


def _asked_items(store: Searchable, answers: Sequence[Answer]) -> dict[int, dict[str, Any]]:
    """Return the items of the queries by id, by the place of their answers."""
    from gannet.retrieval.queries import is_id

    places = [i for i, answer in enumerate(answers) if is_id(answer["query"]) and not {"error", "text"} & answer.keys()]
    ids = [int(answers[place]["query"]) for place in places]
    paths = store.paths(ids)
    return {place: {"id": id_, "path": path} for place, id_, path in zip(places, ids, paths, strict=True)}


def _write_page(store: Searchable, answers: Sequence[Answer], pictures: Mapping[str, str], file: Path) -> None:
    """Write the page; a query by id is shown with the picture of its item, whose path is in ``pictures``."""
    from gannet.pages import read_picture, search_page
    from gannet.support.atomic import write_atomically

    title = f"Neighbors in {store.name}"
    page = search_page(answers, title, store.n_bits, lambda name: read_picture(pictures.get(name, name)))
    write_atomically(file, page.encode())
