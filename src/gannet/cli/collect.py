"""``gannet index``, ``add`` and ``remove``: make a collection and change it in place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gannet.cli.output import check_folder, say, warn_skipped

if TYPE_CHECKING:
    from gannet.search.indexing import Added


@click.command(epilog="Example: gannet index ~/Pictures -m photos.model -o photos.gannet")
@click.argument("source")
@click.option("-m", "--model", "model_path", required=True, metavar="M", help="A model that `gannet fit` wrote.")
@click.option("-o", "--output", required=True, metavar="C", help="The collection file to make.")
def index(source: str, model_path: str, output: str) -> None:
    """Encode SOURCE into a new collection: one file with the codes, ids, paths and the model."""
    from gannet.data import open_source
    from gannet.errors import GannetError
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model
    from gannet.search.indexing import build_collection, encode_source

    if os.path.lexists(output):
        raise GannetError(f"{output} exists: use `gannet add` to add to it, or name another file")
    check_folder(Path(output))
    model = Model.load(model_path)
    encoded = encode_source(ImageHasher.of(model), open_source(source))
    warn_skipped(encoded.skipped)
    added = build_collection(Path(output), model, encoded)
    _report(added, len(encoded.skipped), output, added.added)


@click.command(epilog="Example: gannet add photos.gannet ~/Pictures/2026")
@click.argument("collection")
@click.argument("source")
def add(collection: str, source: str) -> None:
    """Add SOURCE to COLLECTION; what it has already is left alone, what has changed is replaced."""
    from gannet.data import open_source
    from gannet.image_hasher import ImageHasher
    from gannet.search import Collection
    from gannet.search.indexing import add_encoded, encode_source
    from gannet.search.query import read_model

    with Collection.open(collection) as store:
        encoded = encode_source(ImageHasher.of(read_model(store)), open_source(source))
        warn_skipped(encoded.skipped)
        added = add_encoded(store, encoded)
        _report(added, len(encoded.skipped), collection, len(store))


@click.command(epilog="Example: gannet remove photos.gannet 17 42")
@click.argument("collection")
@click.argument("ids", nargs=-1, required=True, type=click.IntRange(0, 2**63 - 1), metavar="ID...")
def remove(collection: str, ids: Sequence[int]) -> None:
    """Remove the items with these ids from COLLECTION; all of them, or none if one is unknown."""
    from gannet.search import Collection

    with Collection.open(collection) as store:
        removed = store.remove(list(dict.fromkeys(ids)))
        say(f"removed {removed:,} items: {collection} holds {len(store):,}")


def _report(added: Added, n_skipped: int, collection: str, total: int) -> None:
    parts = [f"added {added.added:,} items"]
    if added.replaced:
        parts.append(f"replaced {added.replaced:,} that had changed")
    if added.known:
        parts.append(f"left {added.known:,} as they were")
    if n_skipped:
        parts.append(f"skipped {n_skipped:,}")
    say(f"{', '.join(parts)}: {collection} holds {total:,}")
