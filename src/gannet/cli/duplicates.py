"""``gannet duplicates``: find near-duplicates in a collection."""

from __future__ import annotations

from pathlib import Path

import click

from gannet.cli.output import changed_note, check_page, say, say_json, warn, warn_not_compared


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
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", default=None, metavar="FILE", help="Write an HTML page with the pictures to FILE.")
def duplicates(collection: str, radius: int | None, cosine: float | None, as_json: bool, page: str | None) -> None:
    """Find groups of near-duplicates in COLLECTION.

    Two items are linked if their codes differ in at most R bits. A group holds all items that are linked, directly or
    through others. Codes alone also link similar images that are not copies, especially with a larger R.

    In a collection that was created with `gannet index --keep-features`, two items are linked only if the cosine
    between their features is also at least T. A larger R and a smaller T find copies that were changed more.
    """
    from gannet.collection import Collection
    from gannet.retrieval.contents import mark_items
    from gannet.retrieval.duplicates import find_duplicates, limits

    if page is not None:
        check_page(Path(page))
    with Collection.open(collection, readonly=True) as store:
        radius, cosine = limits(store, radius, cosine)
        groups = find_duplicates(store, radius, cosine)
        not_compared = mark_items(store, [item for group in groups for item in group])
        name, n_bits, keeps_features = store.name, store.n_bits, store.n_features is not None
    if page is not None:
        from gannet.pages import duplicates_page, read_picture
        from gannet.support.atomic import write_atomically

        html = duplicates_page(groups, f"Near-duplicates in {name}", n_bits, radius, read_picture, cosine)
        write_atomically(Path(page), html.encode())
    if as_json:
        say_json(groups)
        warn_not_compared(not_compared)
        return
    reach = f"within {radius} of {n_bits} bits" + (f" and a cosine of {cosine:g}" if cosine else "")
    for number, group in enumerate(groups):
        say("" if number else f"{len(groups):,} {'group' if len(groups) == 1 else 'groups'} {reach}")
        for item in group:
            say(f"{item['id']:>8}  {item['path']}{changed_note(item)}")
    if not groups:
        say(f"no two items {reach}")
    if page is not None:
        say(f"wrote {page}")
    warn_not_compared(not_compared)
    if groups and not keeps_features:
        warn(
            "only codes were compared, and similar images that are not copies may have the same code: a collection "
            "created with `gannet index --keep-features` compares features too"
        )
