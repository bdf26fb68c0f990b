"""``gannet duplicates``."""

from __future__ import annotations

from pathlib import Path

import click

from gannet.cli.output import check_page, say, say_json


@click.command(epilog="Example: gannet duplicates photos.gannet --radius 2 --html duplicates.html")
@click.argument("collection")
@click.option(
    "--radius", type=int, default=0, show_default=True, metavar="R", help="Link items that differ in at most R bits."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", default=None, metavar="FILE", help="Write a page with pictures.")
def duplicates(collection: str, radius: int, as_json: bool, page: str | None) -> None:
    """Find groups of near-duplicates in COLLECTION.

    Items whose codes differ in at most R bits are linked, and what is linked, also through others, is a group. A larger
    R finds copies that were changed more, and soon also links images that are merely alike.
    """
    from gannet.search import Collection
    from gannet.search.duplicates import duplicates as find

    if page is not None:
        check_page(Path(page))
    with Collection.open(collection, readonly=True) as store:
        groups = find(store, radius)
        name, n_bits = store.name, store.n_bits
    if page is not None:
        from gannet.atomic import write_atomically
        from gannet.web import duplicates_page, read_picture

        html = duplicates_page(groups, f"Near-duplicates in {name}", n_bits, radius, read_picture)
        write_atomically(Path(page), html.encode())
    if as_json:
        say_json(groups)
        return
    for number, group in enumerate(groups):
        say("" if number else f"{len(groups):,} groups within {radius} of {n_bits} bits")
        for item in group:
            say(f"{item['id']:>8}  {item['path']}")
    if not groups:
        say(f"no two items within {radius} of {n_bits} bits")
    if page is not None:
        say(f"wrote {page}")
