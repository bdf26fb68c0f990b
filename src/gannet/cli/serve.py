"""``gannet serve``: serve a collection as a web page."""

from __future__ import annotations

from collections.abc import Sequence

import click

from gannet.cli.output import say
from gannet.support.libraries import load


@click.command(epilog="Example: gannet serve photos.gannet")
@click.argument("collection")
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
@click.option("--index", default="hamming", show_default=True, metavar="NAME", help="The index to search with.")
@click.option(
    "--part",
    default=None,
    metavar="kind|nearest",
    help="Of hybrid codes: compare the bits for things of the same kind alone, or those for the nearest features.",
)
def serve(
    collection: str, host: str, port: int, edit: bool, allowed_hosts: Sequence[str], index: str, part: str | None
) -> None:
    """Serve COLLECTION as a web page with a JSON API.

    By default only this machine can open the page. /openapi.json describes the API. Ctrl+C stops the server.
    """
    for library in ("fastapi", "uvicorn", "python_multipart"):
        load(library, "serve", "gannet serve")
    from gannet.retrieval.parts import part_index
    from gannet.server import serve as run

    make_index = index if part is None else part_index(collection, part, index)
    run(collection, host, port, edit, say, make_index, allowed_hosts)
