"""``gannet duplicates``: find near-duplicates in a collection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gannet.cli.output import changed_note, check_page, say, say_json, warn, warn_not_compared
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.retrieval.duplicates import Member


@click.command(epilog="Example: gannet duplicates photos.gannet --radius 2 --html duplicates.html")
@click.argument("collection")
@click.option(
    "--radius",
    type=int,
    default=None,
    metavar="R",
    help="Link items whose codes differ in at most R bits. Default: 0, or bits / 16 if features are stored.",
)
@click.option(
    "--cosine",
    type=float,
    default=None,
    metavar="T",
    help="Link only items whose features have a cosine of at least T. Default: 0.9 if features are stored, else 0.",
)
@click.option(
    "--exact",
    is_flag=True,
    help="Find only items with the same bytes or the same pixels. Not with --radius or --cosine.",
)
@click.option(
    "--keep",
    "folders",
    multiple=True,
    metavar="DIR",
    help="Reference folder: its items are never suggested for removal. Can be repeated.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="IDS",
    help="Remember that these items (ids, separated by commas) are not duplicates of each other. Can be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", default=None, metavar="FILE", help="Write an HTML page with the pictures to FILE.")
def duplicates(
    collection: str,
    radius: int | None,
    cosine: float | None,
    exact: bool,
    folders: Sequence[str],
    ignored: Sequence[str],
    as_json: bool,
    page: str | None,
) -> None:
    """Find groups of near-duplicates in COLLECTION.

    Two items are linked if their codes differ in at most R bits. A group holds all items that are linked, directly or
    through others. Codes alone also link similar images that are not copies, especially with a larger R.

    In a collection that was created with `gannet index --keep-features`, two items are linked only if the cosine
    between their features is also at least T. A larger R and a smaller T find copies that were changed more.

    Pictures that can be read are compared too: pages of text and drawings are linked only if their details agree, and
    pictures without contrast only if all pixels do.

    Each item is shown with the size of its picture, the size of its file and the date. The items that are suggested to
    be kept are marked: those in a reference folder, or else the one with the most pixels.
    """
    from gannet.collection import Collection
    from gannet.data.base import absolute
    from gannet.retrieval.contents import mark_items
    from gannet.retrieval.duplicates import describe, find_duplicates, find_exact, limits
    from gannet.retrieval.pictures import Pictures
    from gannet.retrieval.queries import parse_id

    if exact and (radius is not None or cosine is not None):
        raise click.UsageError("--exact compares bytes and pixels: leave out --radius and --cosine")
    groups_to_ignore = [_parse_ids(text, parse_id) for text in ignored]
    if page is not None:
        check_page(Path(page))
    with Collection.open(collection, readonly=not (groups_to_ignore or exact)) as store:
        for folder in folders:
            if not store.items_under(absolute(folder)):
                warn(f"--keep {folder}: {store.name} has no items in this folder")
        for ids in groups_to_ignore:
            store.ignore(ids)
        radius, cosine = limits(store, radius, cosine)
        pictures = Pictures(store)
        found = find_exact(store, pictures) if exact else find_duplicates(store, radius, cosine, pictures=pictures)
        groups = describe(found, pictures, [absolute(folder) for folder in folders])
        not_compared = mark_items(store, [item for group in groups for item in group])
        name, n_bits, keeps_features = store.name, store.n_bits, store.n_features is not None
    if page is not None:
        from gannet.pages import duplicates_page, read_picture
        from gannet.support.atomic import write_atomically

        kind = "Exact duplicates" if exact else "Near-duplicates"
        html = duplicates_page(groups, f"{kind} in {name}", n_bits, None if exact else radius, read_picture, cosine)
        write_atomically(Path(page), html.encode())
    if as_json:
        say_json(groups)
        warn_not_compared(not_compared)
        return
    reach = "with the same bytes or pixels" if exact else f"within {radius} of {n_bits} bits"
    if cosine and not exact:
        reach += f" and a cosine of {cosine:g}"
    for number, group in enumerate(groups):
        say("" if number else f"{len(groups):,} {'group' if len(groups) == 1 else 'groups'} {reach}")
        for item in group:
            keep = "keep" if item["keep"] else ""
            say(f"{item['id']:>8}  {keep:4}  {_details(item)}  {item['path']}{changed_note(item)}")
    if not groups:
        say(f"no two items {reach}")
    if page is not None:
        say(f"wrote {page}")
    warn_not_compared(not_compared)
    if groups and not keeps_features and not exact:
        warn(
            "only codes were compared, and similar images that are not copies may have the same code: a collection "
            "created with `gannet index --keep-features` compares features too"
        )


def _parse_ids(text: str, parse_id: Callable[[str], int]) -> list[int]:
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or not all(name.isascii() and name.isdigit() for name in names):
        raise GannetError(f"--ignore takes two or more ids separated by commas, such as 3,17, not {text!r}")
    return [parse_id(name) for name in names]


def _details(item: Member) -> str:
    """Return the size of a picture, the size of its file and the date, in columns."""
    size = f"{item['width']}x{item['height']}" if item["width"] else "-"
    n_bytes = f"{item['bytes'] / 1000:,.1f} kB" if item["bytes"] is not None else "-"
    return f"{size:>11}  {n_bytes:>12}  {item['date'] or '-':19}"
