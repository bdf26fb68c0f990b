"""Filling a collection from a source: only new and changed images are encoded."""

from __future__ import annotations

import contextlib
import stat
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gannet.code_folder import CodeFolder
from gannet.collection import storage
from gannet.collection.changes import ITEMS_PER_BATCH, Changes, Encoded, add_encoded, add_rows, merge, plan
from gannet.collection.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.collection.items import Item, Origin
from gannet.collection.locations import is_gone, origins
from gannet.collection.relocation import items_inside
from gannet.collection.stored_model import read_model
from gannet.data import ImageSource, MatrixSource, Skipped, Subset, digest, open_source
from gannet.data.base import absolute, exists
from gannet.errors import GannetError
from gannet.image_hasher import ImageHasher
from gannet.model import Model
from gannet.support.progress import progress
from gannet.support.threads import cores

__all__ = [
    "Changes",
    "Encoded",
    "add_encoded",
    "add_folder",
    "add_source",
    "build_collection",
    "encode_source",
    "index_folder",
    "sync",
]

_IMAGES_PER_CHUNK = 20_000
"""Number of images whose features are in memory at once: 100 MB for 1280 features."""
_FILES_PER_TASK = 32
_LARGEST_LOSS, _LARGEST_LOST_SHARE = 20, 0.1
"""More missing items than both are removed only on request: a disk may not be mounted."""
_TIME_STEP_NS = 2 * 10**9
"""Precision of file times on common systems: a file that changed this recently may change again unnoticed."""


def encode_source(
    hasher: ImageHasher,
    source: ImageSource | MatrixSource | Sequence[ImageSource | MatrixSource],
    keep_features: bool = False,
) -> Encoded:
    """Return codes, paths and digests of all items of one or more sources that can be read, and the items that cannot.

    An item that is in several sources is encoded once. With ``keep_features``, the features are returned too, at unit
    length in half precision. Raises a `GannetError` if no item of a source can be read, or if a row of a matrix has
    another length than the model's vectors, or holds NaN or infinity.
    """
    if isinstance(source, Sequence):
        for one in source:
            hasher.check_source(one)
        return _joined([encode_source(hasher, one, keep_features) for one in source])
    if isinstance(source, MatrixSource):
        values = hasher.features(source).values
        codes = hasher.model.encoder.encode(values)
        kept = half_unit(values) if keep_features else None
        return Encoded(codes, source.paths, (), (), kept, hasher.model.id, origins(source))
    stated = _with_stats(source)
    encoded = _encode(hasher, source, range(len(source)), keep_features)
    if not encoded.paths:
        raise _nothing_read(source, encoded.skipped)
    origin_of = dict(zip(source.paths, _settled(source, stated), strict=True))
    return replace(encoded, origins=[origin_of[path] for path in encoded.paths])


def build_collection(path: Path, model: Model, encoded: Encoded, batch_size: int = ITEMS_PER_BATCH) -> Changes:
    """Create a collection of encoded items; the file appears only when it is complete.

    The collection keeps features if the items have them. Items are added ``batch_size`` at a time. Raises a
    `GannetError` if the file exists or cannot be written.
    """
    n_features = None if encoded.features is None else encoded.features.shape[1]
    with (
        storage.complete_file(path) as temporary,
        Collection.create(temporary, model, n_features=n_features) as collection,
    ):
        add_rows(collection, encoded, range(len(encoded.paths)), batch_size)
    return Changes(len(encoded.paths))


def index_folder(path: Path, folder: CodeFolder) -> Changes:
    """Create a collection of a folder of codes; the items keep their ids, and no item is encoded.

    The file appears only when it is complete. Raises a `GannetError` if the file exists or cannot be written, or if
    the folder is damaged.
    """
    model, n_items = folder.model(), len(folder)
    with (
        storage.complete_file(path) as temporary,
        Collection.create(temporary, model) as collection,
        progress(n_items, "indexing", "item") as bar,
    ):
        for block in folder.blocks():
            if len(block.ids):
                collection.add(
                    block.codes,
                    block.paths,
                    block.digests or None,
                    model_id=folder.model_id,
                    origins=list(map(Origin, block.containers)),
                    ids=block.ids,
                )
                bar.update(len(block.ids))
    return Changes(n_items)


def add_folder(collection: Collection, folder: CodeFolder) -> Changes:
    """Add a folder of codes to a collection in one transaction, as `add_encoded` does; no item is encoded.

    Raises a `GannetError`, with nothing changed, if the model is not the collection's, if the collection keeps
    features, or if the folder is damaged.
    """
    collection.check_model(folder.model_id)
    if collection.n_features is not None:
        raise GannetError(
            f"{collection.name} keeps features, which {folder.path} does not hold: add its source instead"
        )
    blocks = list(folder.blocks())
    codes = np.concatenate([block.codes for block in blocks])
    paths = [path for block in blocks for path in block.paths]
    digests = [digest for block in blocks for digest in block.digests]
    placed = [Origin(container) for block in blocks for container in block.containers]
    return add_encoded(collection, Encoded(codes, paths, digests, (), None, folder.model_id, placed))


def add_source(
    collection: Collection,
    source: ImageSource | MatrixSource | Sequence[ImageSource | MatrixSource],
    hasher: ImageHasher | None = None,
) -> tuple[Changes, Sequence[Skipped]]:
    """Add one or more sources to a collection in one transaction; return the changes and the items that cannot be read.

    Only images whose content the collection does not have go through the backbone. Every row of a matrix is encoded.
    The hasher, with the collection's model, is needed only for a model that does not hold its image network. Raises a
    `GannetError`, with nothing changed, if no item of a source can be read, or if the model is not the collection's.
    """
    hasher = hasher or ImageHasher(model=read_model(collection))
    sources = source if isinstance(source, Sequence) else [source]
    for one in sources:
        hasher.check_source(one)
    if any(isinstance(one, MatrixSource) for one in sources):
        encoded = encode_source(hasher, sources, collection.n_features is not None)
        return add_encoded(collection, encoded), ()
    contents = [_read(one) for one in sources if not isinstance(one, MatrixSource)]
    pairs = [_encode_unknown(collection, hasher, one) for one in contents]
    found: dict[str, tuple[bytes, Origin]] = {}
    for part, _ in reversed(pairs):
        found |= zip(part.paths, zip(part.digests, part.origins, strict=True), strict=True)
    digests, placed = zip(*found.values(), strict=True)
    skipped = list(dict.fromkeys(item for part, _ in pairs for item in part.skipped))
    return merge(collection, list(found), digests, _joined([part for _, part in pairs]), (), placed), skipped


def sync(
    collection: Collection,
    folder: str | ImageSource | MatrixSource,
    hasher: ImageHasher | None = None,
    *,
    dry_run: bool = False,
    remove_missing: bool = False,
    quick: bool = False,
) -> tuple[Changes, Sequence[Skipped]]:
    """Update a collection to the present contents of a folder or archive of images, in one transaction.

    New and changed images are added as by `add_source`, and the items of files that no longer exist are removed. Moved
    files keep their items, and content that was removed before gets its former id. An item is removed only if the
    system reports that its file does not exist, or if its archive or table was read to the end without finding it:
    files and folders that cannot be read keep their items, and so do files that were added by name but are not found
    by a walk through the folder.

    Parameters
    ----------
    collection : Collection
        A collection that is open for changes.
    folder : str or ImageSource
        Path of a folder, an archive or another source of several images, or the source as `gannet.data.open_source`
        returns it. Items from elsewhere stay unchanged, except that content whose every known path is missing gets its
        new path.
    hasher : ImageHasher, default=None
        A hasher with the collection's model; needed only for a model that does not hold its image network.
    dry_run : bool, default=False
        Whether to change nothing. The changes are counted as if all new images could be read.
    remove_missing : bool, default=False
        Whether to remove missing items even if they are more than 20 and more than a tenth of those in the folder.
    quick : bool, default=False
        Whether to take a file or an archive as unchanged, without reading it, if it has the stored size and time.

    Returns
    -------
    changes : Changes
        The numbers of changed items.
    skipped : sequence of Skipped
        Files that could not be read, and why.

    Raises
    ------
    GannetError
        If ``folder`` is a matrix or a single image, or holds no image, or if many items are missing, as when a disk is
        not mounted, or if the model is not the collection's; nothing is changed then.

    Examples
    --------
    Update a collection after images were added, moved or deleted::

        with Collection.open("photos.gannet") as collection:
            changes, skipped = sync(collection, "photos")
    """
    source = open_source(folder) if isinstance(folder, str) else folder
    one_file = isinstance(folder, str) and source.paths == [absolute(folder)]
    if one_file or not isinstance(source, ImageSource) or not exists(source.container):
        name = folder if isinstance(folder, str) else source.container
        raise GannetError(f"{name} is no folder or archive of images: add it with `gannet add`")
    items = items_inside(collection, source.container)
    contents = _read(source, {item.path: item for item in items} if quick else {})
    current = set(contents.paths)
    gone = [item.path for item in items if item.path not in current and (is_gone(item) or source.lacks(item.path))]
    planned = plan(collection, contents.paths, contents.digests, gone).changes()
    if not remove_missing and planned.gone > max(_LARGEST_LOSS, _LARGEST_LOST_SHARE * len(items)):
        raise GannetError(
            f"{planned.gone:,} of the {len(items):,} items in {source.container} are missing: mount all disks that it "
            "spans, or run the command again with --remove-missing if the files were deleted (nothing was changed)"
        )
    if dry_run:
        return planned, contents.skipped
    hasher = hasher or ImageHasher(model=read_model(collection))
    contents, encoded = _encode_unknown(collection, hasher, contents)
    gone = [path for path in gone if path not in set(contents.paths)]
    return merge(collection, contents.paths, contents.digests, encoded, gone, contents.origins), contents.skipped


@dataclass(frozen=True)
class _Contents:
    """Paths, digests and origins of the items of a source that can be read, and the items that cannot."""

    source: ImageSource
    paths: Sequence[str]
    digests: Sequence[bytes]
    origins: Sequence[Origin]
    skipped: Sequence[Skipped]


def _read(source: ImageSource, known: Mapping[str, Item] | None = None) -> _Contents:
    """Return the contents of a source; the digests of known files with the same size and time are not computed."""
    stated = _with_stats(source)
    unread = {
        row: item.digest
        for row, (path, origin) in enumerate(zip(source.paths, stated, strict=True))
        if (item := (known or {}).get(path)) and item.digest and origin.size is not None and item.origin == origin
    }
    digests, failures = _read_digests(source, [row for row in range(len(source)) if row not in unread])
    placed = _settled(source, stated)
    digests = dict(sorted((digests | unread).items()))
    skipped = [*source.skipped, *(Skipped(source.paths[row], reason) for row, reason in failures.items())]
    if not digests:
        raise _nothing_read(source, skipped)
    rows = list(digests)
    return _Contents(
        source, [source.paths[row] for row in rows], list(digests.values()), [placed[row] for row in rows], skipped
    )


def _encode_unknown(collection: Collection, hasher: ImageHasher, contents: _Contents) -> tuple[_Contents, Encoded]:
    """Return the contents that can be encoded, and the codes of the images that the collection does not have."""
    collection.check_model(hasher.model.id)
    hasher.check_source(contents.source)
    row_of = {path: row for row, path in enumerate(contents.paths)}
    digests = list(contents.digests)
    first = {name: row for row, name in reversed(list(enumerate(digests)))}
    known = collection.find_digests(list(first))
    unknown = [contents.source.find(contents.paths[row]) for name, row in first.items() if name not in known]
    encoded = _encode(hasher, contents.source, sorted(unknown), collection.n_features is not None)
    # A file may have changed since its digest was computed; the content that was encoded counts.
    changed = set()
    for path, name in zip(encoded.paths, encoded.digests, strict=True):
        if digests[row_of[path]] != name:
            digests[row_of[path]] = name
            changed.add(row_of[path])
    reasons = {digests[row_of[item.path]]: item.reason for item in encoded.skipped if item.path in row_of}
    usable = known.keys() | set(encoded.digests)
    kept = [row for row, name in enumerate(digests) if name in usable]
    lost = [row for row, name in enumerate(digests) if name not in usable]
    skipped = [
        *contents.skipped,
        *(Skipped(contents.paths[row], reasons.get(digests[row], "it changed while it was read")) for row in lost),
    ]
    if not kept:
        raise _nothing_read(contents.source, skipped)
    placed = [Origin(o.container) if row in changed else o for row, o in enumerate(contents.origins)]
    left = _Contents(
        contents.source,
        [contents.paths[row] for row in kept],
        [digests[row] for row in kept],
        [placed[row] for row in kept],
        skipped,
    )
    return left, encoded


def _encode(hasher: ImageHasher, source: ImageSource, rows: Sequence[int], keep_features: bool) -> Encoded:
    """Return the codes of the given items of a source, without the items that cannot be read."""
    model = hasher.model
    codes = [np.empty((0, -(-model.n_bits // 8)), np.uint8)]
    features: list[npt.NDArray[np.float16]] = [np.empty((0, model.encoder.n_features), np.float16)]
    paths: list[str] = []
    digests: list[bytes] = []
    skipped = list(source.skipped)
    for start in range(0, len(rows), _IMAGES_PER_CHUNK):
        found = hasher.features(Subset(source, rows[start : start + _IMAGES_PER_CHUNK]))
        codes.append(model.encoder.encode(found.values))
        if keep_features:
            features.append(half_unit(found.values))
        paths += found.paths
        digests += found.digests
        skipped += found.skipped
    kept = np.concatenate(features) if keep_features else None
    return Encoded(np.concatenate(codes), paths, digests, skipped, kept, model.id)


def _joined(parts: Sequence[Encoded]) -> Encoded:
    """Return the items of several sources as one; of items with the same path, the first."""
    if len(parts) == 1:
        return parts[0]
    seen: set[str] = set()
    pairs = []
    for part in parts:
        pairs.append((part, [row for row, path in enumerate(part.paths) if path not in seen]))
        seen.update(part.paths)
    features = [part.features[some] for part, some in pairs if part.features is not None]
    return Encoded(
        np.concatenate([part.codes[some] for part, some in pairs]),
        [part.paths[row] for part, some in pairs for row in some],
        [part.digests[row] for part, some in pairs if part.digests for row in some],
        list(dict.fromkeys(item for part in parts for item in part.skipped)),
        np.concatenate(features) if features else None,
        parts[0].model_id,
        [part.origins[row] for part, some in pairs if part.origins is not None for row in some] or None,
    )


def _with_stats(source: ImageSource) -> list[Origin]:
    """Return what holds each item of a source, with the present size and time of that file."""
    placed = origins(source)
    stated: dict[str | None, Origin] = {}
    for origin in placed:
        if origin.container not in stated:
            stated[origin.container] = _with_stat(origin)
    return [stated[origin.container] for origin in placed]


def _with_stat(origin: Origin) -> Origin:
    """Return an origin with the present size and time of its file; unchanged for a folder and what is no path."""
    with contextlib.suppress(OSError, ValueError):
        info = None if origin.container is None else Path(origin.container).stat()
        if info is not None and stat.S_ISREG(info.st_mode):
            return origin._replace(size=info.st_size, modified=info.st_mtime_ns)
    return origin


def _settled(source: ImageSource, before: Sequence[Origin]) -> list[Origin]:
    """Return origins without the sizes and times of files that have changed since, or may change at the same time."""
    newest = time.time_ns() - _TIME_STEP_NS
    return [
        now if now == then and (now.modified is None or now.modified < newest) else Origin(now.container)
        for now, then in zip(_with_stats(source), before, strict=True)
    ]


def _read_digests(source: ImageSource, rows: Sequence[int]) -> tuple[dict[int, bytes], dict[int, str]]:
    """Return the content digest of some items by row, and the reason for each item that cannot be read."""
    digests: dict[int, bytes] = {}
    failures: dict[int, str] = {}

    def read(some: Iterable[int]) -> None:
        for row in some:
            try:
                digests[row] = digest(source.read(row))
            except GannetError as error:
                failures[row] = str(error)

    tasks = [rows[start : start + _FILES_PER_TASK] for start in range(0, len(rows), _FILES_PER_TASK)]
    with progress(len(rows), "reading", "img") as bar, ThreadPoolExecutor(cores()) as pool:
        for some, _ in zip(tasks, pool.map(read, tasks), strict=True):
            bar.update(len(some))
    return digests, dict(sorted(failures.items()))


def _nothing_read(source: ImageSource, skipped: Sequence[Skipped]) -> GannetError:
    reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
    return GannetError(f"nothing could be read from {source.name}: {reasons}")
