"""``gannet index``, ``add``, ``sync`` and ``remove``: create a collection and change it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gannet.cli.output import check_folder, say, warn_skipped
from gannet.cli.sources import open_source, reading_options

if TYPE_CHECKING:
    from gannet.collection.changes import Changes
    from gannet.data import Skipped


@click.command(epilog="Example: gannet index ~/Pictures -m photos.model -o photos.gannet")
@click.argument("source")
@click.option("-m", "--model", "model_path", required=True, metavar="M", help="Model file that `gannet fit` wrote.")
@click.option("-o", "--output", required=True, metavar="C", help="Collection file to create.")
@click.option(
    "--keep-features",
    is_flag=True,
    help="Also store the float features, in half precision, for `search --rerank` and `duplicates`.",
)
@reading_options
def index(source: str, model_path: str, output: str, keep_features: bool, **reading: Any) -> None:
    """Encode SOURCE into a new collection.

    SOURCE is a folder of images (with its subfolders), an image, a .zip of images, or a matrix (.npy, .npz or
    .parquet). It must match the model: images for a model of images, a matrix for a model of a matrix.

    The collection is one file. It holds the codes, ids and paths of all items, and the model.
    """
    from gannet.collection.indexing import build_collection, encode_source
    from gannet.errors import GannetError
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

    if os.path.lexists(output):
        raise GannetError(f"{output} exists: use `gannet add` to add to it, or name another file")
    check_folder(Path(output))
    model = Model.load(model_path)
    encoded = encode_source(ImageHasher(model=model), open_source(source, **reading), keep_features)
    changes = build_collection(Path(output), model, encoded)
    _report(changes, encoded.skipped, output, changes.added)


@click.command(epilog="Example: gannet add photos.gannet ~/Pictures/2026")
@click.argument("collection")
@click.argument("source")
@reading_options
def add(collection: str, source: str, **reading: Any) -> None:
    """Add the items of SOURCE to COLLECTION.

    Only items with new content are encoded. Items that COLLECTION already holds are left as they are, and items whose
    content has changed are replaced. The whole command is one transaction.
    """
    from gannet.collection import Collection
    from gannet.collection.indexing import add_source

    with Collection.open(collection) as store:
        changes, skipped = add_source(store, open_source(source, **reading))
        _report(changes, skipped, collection, len(store))


@click.command(epilog="Example: gannet sync photos.gannet ~/Pictures")
@click.argument("collection")
@click.argument("folder")
def sync(collection: str, folder: str) -> None:
    """Update COLLECTION to match the files in FOLDER.

    New and changed files are encoded, as by `gannet add`, and items whose files are gone from FOLDER are removed.
    Moved and renamed files keep their ids and are not encoded again. Items from outside FOLDER are left as they are.
    The whole command is one transaction.

    Mount all disks that FOLDER spans first: the mount point of an unmounted disk looks like an empty folder, and its
    items would be removed.
    """
    from gannet.collection import Collection
    from gannet.collection.indexing import sync as sync_collection

    with Collection.open(collection) as store:
        changes, skipped = sync_collection(store, folder)
        _report(changes, skipped, collection, len(store))


@click.command(epilog="Example: gannet remove photos.gannet 17 42 ~/Pictures/blurred.jpg")
@click.argument("collection")
@click.argument("items", nargs=-1, required=True, metavar="ID|PATH...")
def remove(collection: str, items: Sequence[str]) -> None:
    """Remove items from COLLECTION by id or path.

    If one of the items is unknown, none is removed. The image files are not deleted.
    """
    from gannet.collection import Collection
    from gannet.retrieval.query import find_items

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
        parts.append(f"updated the paths of {changes.moved:,} that had moved")
    if changes.gone:
        parts.append(f"removed {changes.gone:,} whose files are gone")
    if changes.known:
        parts.append(f"left {changes.known:,} unchanged")
    if skipped:
        parts.append(f"skipped {len(skipped):,}")
    say(f"{', '.join(parts)}: {collection} holds {total:,}")
