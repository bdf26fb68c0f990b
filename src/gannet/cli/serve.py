"""``gannet serve``."""

from __future__ import annotations

import click

from gannet.cli.output import say
from gannet.errors import MissingExtraError


@click.command(epilog="Example: gannet serve photos.gannet")
@click.argument("collection")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to serve at.")
@click.option("--port", default=8000, show_default=True, help="The port to serve at; 0 for any free one.")
@click.option("--edit", is_flag=True, help="Let the page remove items from the collection.")
@click.option("--index", default="hamming", show_default=True, metavar="NAME", help="The index to search with.")
def serve(collection: str, host: str, port: int, edit: bool, index: str) -> None:
    """Show COLLECTION as a web page on this machine, with a JSON API (/openapi.json describes it)."""
    try:
        from gannet.server import serve as run
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "gannet serve") from error
    run(collection, host, port, edit, say, index)
