"""``gannet duplicates``."""

from __future__ import annotations

from pathlib import Path

import click

from gannet.cli.output import check_page, say, say_json, warn


@click.command(epilog="Example: gannet duplicates photos.gannet --radius 2 --html duplicates.html")
@click.argument("collection")
@click.option(
    "--radius",
    type=int,
    default=None,
    metavar="R",
    help="Link items that differ in at most R bits; by default 0, or a sixteenth of the bits if features are kept.",
)
@click.option(
    "--cosine",
    type=float,
    default=None,
    metavar="T",
    help="Link only items with a cosine of T or more; by default 0.9 if features are kept, and 0, codes alone, if not.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", default=None, metavar="FILE", help="Write a page with pictures.")
def duplicates(collection: str, radius: int | None, cosine: float | None, as_json: bool, page: str | None) -> None:
    """Find groups of near-duplicates in COLLECTION.

    Items whose codes differ in at most R bits are linked, and what is linked, also through others, is a group. Codes
    alone soon link images that are merely alike. In a collection made with `gannet index --keep-features` the features
    of two items must be alike too: larger R and smaller T find copies that were changed more.
    """
    from gannet.collection import Collection
    from gannet.search.duplicates import find_duplicates, limits

    if page is not None:
        check_page(Path(page))
    with Collection.open(collection, readonly=True) as store:
        radius, cosine = limits(store, radius, cosine)
        groups = find_duplicates(store, radius, cosine)
        name, n_bits, keeps_features = store.name, store.n_bits, store.n_features is not None
    if page is not None:
        from gannet.pages import duplicates_page, read_picture
        from gannet.support.atomic import write_atomically

        html = duplicates_page(groups, f"Near-duplicates in {name}", n_bits, radius, read_picture, cosine)
        write_atomically(Path(page), html.encode())
    if as_json:
        say_json(groups)
        return
    reach = f"within {radius} of {n_bits} bits" + (f" and a cosine of {cosine:g}" if cosine else "")
    for number, group in enumerate(groups):
        say("" if number else f"{len(groups):,} {'group' if len(groups) == 1 else 'groups'} {reach}")
        for item in group:
            say(f"{item['id']:>8}  {item['path']}")
    if not groups:
        say(f"no two items {reach}")
    if page is not None:
        say(f"wrote {page}")
    if groups and not keeps_features:
        warn(
            "found by codes alone, which images that are merely alike may share: a collection made with "
            "`gannet index --keep-features` compares their features too"
        )
