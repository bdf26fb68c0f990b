"""``gannet index``, ``add``, ``sync`` and ``remove``: make a collection and change it in place."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gannet.cli.output import check_folder, say, warn_skipped

if TYPE_CHECKING:
    from gannet.collection.changes import Changes
    from gannet.data import Skipped


@click.command(epilog="Example: gannet index ~/Pictures -m photos.model -o photos.gannet")
@click.argument("source")
@click.option("-m", "--model", "model_path", required=True, metavar="M", help="A model that `gannet fit` wrote.")
@click.option("-o", "--output", required=True, metavar="C", help="The collection file to make.")
@click.option(
    "--keep-features",
    is_flag=True,
    help="Keep the float features too, in half precision, for `search --rerank` and `duplicates`.",
)
def index(source: str, model_path: str, output: str, keep_features: bool) -> None:
    """Encode SOURCE into a new collection: one file with the codes, ids, paths and the model."""
    from gannet.collection.indexing import build_collection, encode_source
    from gannet.data import open_source
    from gannet.errors import GannetError
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

    if os.path.lexists(output):
        raise GannetError(f"{output} exists: use `gannet add` to add to it, or name another file")
    check_folder(Path(output))
    model = Model.load(model_path)
    encoded = encode_source(ImageHasher(model=model), open_source(source), keep_features)
    changes = build_collection(Path(output), model, encoded)
    _report(changes, encoded.skipped, output, changes.added)


@click.command(epilog="Example: gannet add photos.gannet ~/Pictures/2026")
@click.argument("collection")
@click.argument("source")
def add(collection: str, source: str) -> None:
    """Add SOURCE to COLLECTION.

    Only what is new by its content is encoded; what COLLECTION has already is left alone, what has changed is
    replaced. All of it is one transaction.
    """
    from gannet.collection import Collection
    from gannet.collection.indexing import add_source
    from gannet.collection.stored_model import read_model
    from gannet.data import open_source
    from gannet.image_hasher import ImageHasher

    with Collection.open(collection) as store:
        changes, skipped = add_source(store, ImageHasher(model=read_model(store)), open_source(source))
        _report(changes, skipped, collection, len(store))


@click.command(epilog="Example: gannet sync photos.gannet ~/Pictures")
@click.argument("collection")
@click.argument("folder")
def sync(collection: str, folder: str) -> None:
    """Make COLLECTION hold what is in FOLDER now.

    Does what `gannet add` does, and also removes the items in FOLDER whose files are gone. Moved and renamed files
    keep their ids and are not encoded again. Items from elsewhere are left alone. All of it is one transaction.

    Mount first all disks that FOLDER spans: the place of one that is not mounted is an empty folder.
    """
    from gannet.collection import Collection
    from gannet.collection.indexing import sync_folder
    from gannet.collection.stored_model import read_model
    from gannet.image_hasher import ImageHasher

    with Collection.open(collection) as store:
        changes, skipped = sync_folder(store, ImageHasher(model=read_model(store)), folder)
        _report(changes, skipped, collection, len(store))


@click.command(epilog="Example: gannet remove photos.gannet 17 42 ~/Pictures/blurred.jpg")
@click.argument("collection")
@click.argument("items", nargs=-1, required=True, metavar="ID|PATH...")
def remove(collection: str, items: Sequence[str]) -> None:
    """Remove items from COLLECTION by id or path; all of them, or none if one is unknown."""
    from gannet.collection import Collection
    from gannet.search.query import find_items

    with Collection.open(collection) as store:
        with store.atomic():
            removed = store.remove(find_items(store, items))
        say(f"removed {removed:,} items: {collection} holds {len(store):,}")


def _report(changes: Changes, skipped: Sequence[Skipped], collection: str, total: int) -> None:
    warn_skipped(skipped)
    parts = [f"added {changes.added:,} items"]
    if changes.replaced:
        parts.append(f"replaced {changes.replaced:,} that had changed")
    if changes.moved:
        parts.append(f"followed {changes.moved:,} that had moved")
    if changes.gone:
        parts.append(f"removed {changes.gone:,} that were gone")
    if changes.known:
        parts.append(f"left {changes.known:,} as they were")
    if skipped:
        parts.append(f"skipped {len(skipped):,}")
    say(f"{', '.join(parts)}: {collection} holds {total:,}")
