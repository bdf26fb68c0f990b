"""``gannet index``, ``add``, ``sync``, ``remove`` and ``relocate``: create a collection and change it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gannet.cli.output import check_folder, say, warn_skipped
from gannet.cli.sources import image_options, open_source, reading_options

if TYPE_CHECKING:
    from gannet.code_folder import CodeFolder
    from gannet.collection.changes import Changes
    from gannet.data import Skipped


@click.command(epilog="Example: gannet index ~/Pictures -m photos.model -o photos.gannet")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "-m",
    "--model",
    "model_path",
    metavar="M",
    help="Model file that `gannet fit` wrote. A folder of `gannet encode` holds its own.",
)
@click.option("-o", "--output", required=True, metavar="C", help="Collection file to create.")
@click.option(
    "--keep-features",
    is_flag=True,
    help="Also store the float features, in half precision, for `search --rerank` and `duplicates`.",
)
@reading_options
def index(sources: Sequence[str], model_path: str | None, output: str, keep_features: bool, **reading: Any) -> None:
    """Encode each SOURCE into a new collection.

    A SOURCE is a folder of images (with its subfolders), an image, a .zip of images, or a matrix (.npy, .npz or
    .parquet). It must match the model: images for a model of images, a matrix for a model of a matrix. A single
    SOURCE can also be a folder that `gannet encode` wrote, whose codes and ids are taken as they are.

    The collection is one file. It holds the codes, ids and paths of all items, and the model.
    """
    from gannet.collection.indexing import build_collection, encode_source, index_folder
    from gannet.errors import GannetError
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

    if os.path.lexists(output):
        raise GannetError(f"{output} exists: use `gannet add` to add to it, or name another file")
    check_folder(Path(output))
    folder = _code_folder(sources, model_path is not None or keep_features, reading)
    if folder is not None:
        changes = index_folder(Path(output), folder)
        _report(changes, folder.skipped(), output, changes.added)
        return
    if model_path is None:
        raise click.MissingParameter(param_hint=["-m", "--model"], param_type="option")
    model = Model.load(model_path)
    opened = [open_source(source, **reading) for source in sources]
    encoded = encode_source(ImageHasher(model=model), opened, keep_features)
    changes = build_collection(Path(output), model, encoded)
    _report(changes, encoded.skipped, output, changes.added)


@click.command(epilog="Example: gannet add photos.gannet ~/Pictures/2026")
@click.argument("collection")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@reading_options
def add(collection: str, sources: Sequence[str], **reading: Any) -> None:
    """Add the items of each SOURCE to COLLECTION.

    Only items with new content are encoded. Items that COLLECTION already holds are not changed, and items whose
    content has changed are replaced. Items whose files no longer exist, but whose content is in a SOURCE, get the new
    path. The whole command is one transaction. A single SOURCE can also be a folder that `gannet encode` wrote.
    """
    from gannet.collection import Collection
    from gannet.collection.indexing import add_folder, add_source

    folder = _code_folder(sources, False, reading)
    with Collection.open(collection) as store:
        if folder is not None:
            _report(add_folder(store, folder), folder.skipped(), collection, len(store))
        else:
            changes, skipped = add_source(store, [open_source(source, **reading) for source in sources])
            _report(changes, skipped, collection, len(store))


@click.command(epilog="Example: gannet sync photos.gannet ~/Pictures --dry-run")
@click.argument("collection")
@click.argument("folder")
@click.option("--dry-run", is_flag=True, help="Print what would change, and change nothing.")
@click.option(
    "--remove-missing",
    is_flag=True,
    help="Remove missing items even if they are more than 20 and more than a tenth of the items in FOLDER.",
)
@click.option("--quick", is_flag=True, help="Do not read files and archives whose size and time have not changed.")
@image_options
def sync(collection: str, folder: str, dry_run: bool, remove_missing: bool, quick: bool, **reading: Any) -> None:
    """Update COLLECTION to match the images in FOLDER, which can also be an archive or another source of images.

    New and changed files are encoded, as by `gannet add`, and items whose files are gone from FOLDER are removed.
    Moved and renamed files keep their ids and are not encoded again, also if they come from outside FOLDER. Files that
    reappear get their former ids. Other items from outside FOLDER are not changed. The whole command is one
    transaction.

    If more than a tenth of the items in FOLDER and more than 20 are missing, a disk may not be mounted: nothing is
    changed without --remove-missing.
    """
    from gannet.collection import Collection
    from gannet.collection.indexing import sync as sync_collection
    from gannet.data.base import is_file
    from gannet.data.files import is_image_name

    one_image = is_image_name(folder) and is_file(folder)
    source = folder if one_image else open_source(folder, **reading)
    with Collection.open(collection, readonly=dry_run) as store:
        changes, skipped = sync_collection(store, source, dry_run=dry_run, remove_missing=remove_missing, quick=quick)
        _report(changes, skipped, collection, len(store), dry_run)


@click.command(epilog="Example: gannet remove photos.gannet 17 42 ~/Pictures/blurred.jpg")
@click.argument("collection")
@click.argument("items", nargs=-1, metavar="ID|PATH...")
@click.option(
    "--under",
    "folders",
    multiple=True,
    metavar="DIR",
    help="Remove all items in this folder, archive or matrix, whether it still exists or not. Can be repeated.",
)
def remove(collection: str, items: Sequence[str], folders: Sequence[str]) -> None:
    """Remove items from COLLECTION by id, by path or by folder.

    If one of the items is unknown, none is removed. The image files are not deleted.
    """
    from gannet.collection import Collection
    from gannet.collection.relocation import items_below
    from gannet.retrieval.query import find_items

    if not items and not folders:
        raise click.UsageError("Missing argument 'ID|PATH...', or option --under DIR")
    with Collection.open(collection) as store:
        with store.atomic():
            ids = find_items(store, items)
            for folder in folders:
                ids += [item.id for item in items_below(store, folder)]
            removed = store.remove(ids)
        say(f"removed {removed:,} items: {collection} holds {len(store):,}")


@click.command(epilog="Example: gannet relocate photos.gannet /media/old/Pictures ~/Pictures")
@click.argument("collection")
@click.argument("old")
@click.argument("new")
def relocate(collection: str, old: str, new: str) -> None:
    """Change the paths of all items in OLD, which was moved to NEW.

    OLD and NEW are paths of folders, of files, or of archives or matrices that hold items. No file is read or moved.
    """
    from gannet.collection import Collection
    from gannet.collection.relocation import relocate as relocate_items

    with Collection.open(collection) as store:
        moved = relocate_items(store, old, new)
        say(f"updated the paths of {moved:,} items: {collection} holds {len(store):,}")


def _code_folder(sources: Sequence[str], has_options: bool, reading: Mapping[str, Any]) -> CodeFolder | None:
    """Return the folder of codes among the sources, if any, which is given alone and without options."""
    from gannet.code_folder import CodeFolder, is_code_folder
    from gannet.data import ReadOptions
    from gannet.errors import GannetError

    folder = next(filter(is_code_folder, sources), None)
    if folder is None:
        return None
    if len(sources) > 1 or has_options or ReadOptions(**reading).given():
        raise GannetError(
            f"{folder} holds codes and their model: give it alone and without a model or other options, and add more "
            "sources with `gannet add`"
        )
    return CodeFolder.open(folder)


def _report(changes: Changes, skipped: Sequence[Skipped], collection: str, total: int, dry_run: bool = False) -> None:
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
    prefix = "dry run, nothing was changed: would have " if dry_run else ""
    say(f"{prefix}{', '.join(parts)}: {collection} holds {total:,}")
