"""``gannet serve``: serve a collection as a web page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from gannet.cli.indexes import check_no_index, chosen_index
from gannet.cli.output import say
from gannet.errors import GannetError
from gannet.index import DEFAULT_INDEX
from gannet.support.libraries import load

if TYPE_CHECKING:
    from gannet.retrieval.live import LiveCollection
    from gannet.retrieval.live_target import LiveTarget


@click.command(epilog="Example: gannet serve photos.gannet")
@click.argument("collection", required=False, metavar="[COLLECTION|TARGET]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, help="Port to listen on; 0 for any free port.")
@click.option("--edit", is_flag=True, help="Allow removing items from the collection.")
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Also accept requests that address the server by this host name, such as the name of a proxy; repeatable.",
)
@click.option(
    "--index",
    default="hamming",
    show_default=True,
    metavar="NAME|TARGET",
    help="The index to search with, or a target to serve in place of a collection.",
)
@click.option(
    "--part",
    default=None,
    metavar="kind|nearest",
    help="Of hybrid codes: compare the bits for things of the same kind alone, or those for the nearest features.",
)
def serve(
    collection: str | None,
    host: str,
    port: int,
    edit: bool,
    allowed_hosts: Sequence[str],
    index: str,
    part: str | None,
) -> None:
    """Serve COLLECTION as a web page with a JSON API.

    In place of a collection, a TARGET may be given to which `gannet export` has written one.

    By default only this machine can open the page. /openapi.json describes the API. Ctrl+C stops the server.
    """
    for library in ("fastapi", "uvicorn", "python_multipart"):
        load(library, "serve", "gannet serve")
    from gannet.server import serve as run

    run(_open(collection, edit, index, part), host, port, say, allowed_hosts)


def _open(name: str | None, edit: bool, index: str, part: str | None) -> LiveCollection | LiveTarget:
    from gannet.engines import is_target, open_target
    from gannet.retrieval.live import LiveCollection
    from gannet.retrieval.live_target import LiveTarget

    if name is None:
        if not is_target(index):
            raise GannetError("give a COLLECTION, or a TARGET to which one was exported")
        name, index = index, DEFAULT_INDEX
    if not is_target(name):
        return LiveCollection(name, edit, chosen_index(name, index, part))
    check_no_index(index, part)
    if edit:
        raise GannetError("--edit is for collections: remove items from the collection, and export it with --sync")
    return LiveTarget(open_target(name))
