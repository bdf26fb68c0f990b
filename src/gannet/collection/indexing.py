"""Filling a collection from a source: only new and changed images are encoded."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gannet.collection import storage
from gannet.collection.changes import ITEMS_PER_BATCH, Changes, Encoded, add_encoded, add_rows, merge
from gannet.collection.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.collection.stored_model import read_model
from gannet.data import FolderSource, ImageSource, MatrixSource, Skipped, Subset, digest, open_source
from gannet.data.base import exists
from gannet.errors import GannetError
from gannet.image_hasher import ImageHasher
from gannet.model import Model
from gannet.support.progress import progress
from gannet.support.threads import cores

__all__ = ["Changes", "Encoded", "add_encoded", "add_source", "build_collection", "encode_source", "sync"]

_IMAGES_PER_CHUNK = 20_000
"""Number of images whose features are in memory at once: 100 MB for 1280 features."""
_FILES_PER_TASK = 32


def encode_source(hasher: ImageHasher, source: ImageSource | MatrixSource, keep_features: bool = False) -> Encoded:
    """Encode all items of a source that can be read.

    Parameters
    ----------
    hasher : ImageHasher
        A fitted hasher.
    source : ImageSource or MatrixSource
        Images or feature vectors, as returned by `gannet.data.open_source`.
    keep_features : bool, default=False
        Whether to return the features too, at unit length in half precision.

    Returns
    -------
    Encoded
        Codes, paths and digests, and the items that could not be read.

    Raises
    ------
    GannetError
        If no item can be read, or if a row of a matrix has another length than the model's vectors, or holds NaN or
        infinity.
    """
    if isinstance(source, MatrixSource):
        values = hasher.features(source).values
        codes = hasher.model.encoder.encode(values)
        return Encoded(codes, source.paths, (), (), half_unit(values) if keep_features else None, hasher.model.id)
    encoded = _encode(hasher, source, range(len(source)), keep_features)
    if not encoded.paths:
        raise _nothing_read(source, encoded.skipped)
    return encoded


def build_collection(path: Path, model: Model, encoded: Encoded, batch_size: int = ITEMS_PER_BATCH) -> Changes:
    """Create a collection of encoded items; the file appears only when it is complete.

    Parameters
    ----------
    path : Path
        File to create.
    model : Model
        The model that made the codes.
    encoded : Encoded
        The items. The collection keeps features if there are any.
    batch_size : int, default=100_000
        Number of items to add at a time.

    Returns
    -------
    Changes
        The number of added items.

    Raises
    ------
    GannetError
        If the file exists or cannot be written.
    """
    n_features = None if encoded.features is None else encoded.features.shape[1]
    with (
        storage.complete_file(path) as temporary,
        Collection.create(temporary, model, n_features=n_features) as collection,
    ):
        add_rows(collection, encoded, range(len(encoded.paths)), batch_size)
    return Changes(len(encoded.paths))


def add_source(
    collection: Collection, source: ImageSource | MatrixSource, hasher: ImageHasher | None = None
) -> tuple[Changes, Sequence[Skipped]]:
    """Add a source to a collection in one transaction.

    Only images whose content the collection does not have go through the backbone. Every row of a matrix is encoded.

    Parameters
    ----------
    collection : Collection
        A collection that is open for changes.
    source : ImageSource or MatrixSource
        Images or feature vectors, as returned by `gannet.data.open_source`.
    hasher : ImageHasher, default=None
        A hasher with the collection's model; needed only for a model that does not hold its image network.

    Returns
    -------
    changes : Changes
        The numbers of changed items.
    skipped : sequence of Skipped
        Items that could not be read, and why.

    Raises
    ------
    GannetError
        If no item can be read, or if the model is not the collection's; nothing is changed then.
    """
    hasher = hasher or ImageHasher(model=read_model(collection))
    if isinstance(source, MatrixSource):
        encoded = encode_source(hasher, source, collection.n_features is not None)
        return add_encoded(collection, encoded), ()
    contents, encoded = _encode_unknown(collection, hasher, source)
    return merge(collection, contents.paths, contents.digests, encoded), contents.skipped


def sync(collection: Collection, folder: str, hasher: ImageHasher | None = None) -> tuple[Changes, Sequence[Skipped]]:
    """Update a collection to the present contents of a folder of images, in one transaction.

    New and changed images are added as by `add_source`, and the items of files that no longer exist are removed. Moved
    files keep their items. An item is removed only if the system reports that its file does not exist: files and
    folders that cannot be read keep their items, as do members of archives, and files that were added by name but are
    not found by a walk through the folder.

    Parameters
    ----------
    collection : Collection
        A collection that is open for changes.
    folder : str
        Path of the folder. Items from elsewhere stay unchanged.
    hasher : ImageHasher, default=None
        A hasher with the collection's model; needed only for a model that does not hold its image network.

    Returns
    -------
    changes : Changes
        The numbers of changed items.
    skipped : sequence of Skipped
        Files that could not be read, and why.

    Raises
    ------
    GannetError
        If ``folder`` is no folder or holds no image, as when a disk is not mounted, or if the model is not the
        collection's; nothing is changed then.

    Examples
    --------
    Update a collection after images were added, moved or deleted::

        with Collection.open("photos.gannet") as collection:
            changes, skipped = sync(collection, "photos")
    """
    source = open_source(folder)
    if not isinstance(source, FolderSource) or not Path(folder).is_dir():
        raise GannetError(f"{folder} is no folder of image files: add it with `gannet add`")
    hasher = hasher or ImageHasher(model=read_model(collection))
    contents, encoded = _encode_unknown(collection, hasher, source)
    current = set(contents.paths)
    items = collection.items_under(source.container)
    gone = [item.path for item in items if item.path not in current and _is_gone(item.path)]
    return merge(collection, contents.paths, contents.digests, encoded, gone), contents.skipped


@dataclass(frozen=True)
class _Contents:
    """Paths and digests of the items of a source that can be read, and the items that cannot."""

    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]


def _encode_unknown(collection: Collection, hasher: ImageHasher, source: ImageSource) -> tuple[_Contents, Encoded]:
    """Return the contents of a source, and the codes of the images whose content the collection does not have."""
    collection.check_model(hasher.model.id)
    hasher.check_source(source)
    digests, failures = _read_digests(source)
    first_row: dict[bytes, int] = {}
    for row, name in digests.items():
        first_row.setdefault(name, row)
    known = collection.find_digests(list(first_row))
    unknown = [row for name, row in first_row.items() if name not in known]
    encoded = _encode(hasher, source, unknown, collection.n_features is not None)
    # A file may have changed since its digest was computed; the content that was encoded counts.
    row_of = {source.paths[row]: row for row in unknown}
    digests |= {row_of[path]: name for path, name in zip(encoded.paths, encoded.digests, strict=True)}
    reasons = {digests[row_of[item.path]]: item.reason for item in encoded.skipped if item.path in row_of}
    usable = known.keys() | set(encoded.digests)
    kept = [row for row, name in digests.items() if name in usable]
    lost = [row for row, name in digests.items() if name not in usable]
    skipped = [
        *source.skipped,
        *(Skipped(source.paths[row], reason) for row, reason in failures.items()),
        *(Skipped(source.paths[row], reasons.get(digests[row], "it changed while it was read")) for row in lost),
    ]
    if not kept:
        raise _nothing_read(source, skipped)
    return _Contents([source.paths[row] for row in kept], [digests[row] for row in kept], skipped), encoded


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


def _read_digests(source: ImageSource) -> tuple[dict[int, bytes], dict[int, str]]:
    """Return the content digest of each item by its row, and the reason for each item that cannot be read."""
    digests: dict[int, bytes] = {}
    failures: dict[int, str] = {}

    def read(rows: Iterable[int]) -> None:
        for row in rows:
            try:
                digests[row] = digest(source.read(row))
            except GannetError as error:
                failures[row] = str(error)

    tasks = [
        range(start, min(start + _FILES_PER_TASK, len(source))) for start in range(0, len(source), _FILES_PER_TASK)
    ]
    with progress(len(source), "reading", "img") as bar, ThreadPoolExecutor(cores()) as pool:
        for rows, _ in zip(tasks, pool.map(read, tasks), strict=True):
            bar.update(len(rows))
    return dict(sorted(digests.items())), dict(sorted(failures.items()))


def _is_gone(path: str) -> bool:
    """Return whether neither the file exists, nor the archive or set that contains an item such as ``A.zip!b.jpg``.

    A path through a dangling link, as to a disk that is not mounted, is not gone.
    """
    holders = [path[:i] for i, char in enumerate(path) if char in "!#"]
    return all(map(_is_missing, itertools.chain([path], holders))) and not any(map(_is_dead_link, Path(path).parents))


def _is_missing(path: str) -> bool:
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # the file may exist although it cannot be inspected
        return False
    return False


def _is_dead_link(path: Path) -> bool:
    return path.is_symlink() and not exists(path)


def _nothing_read(source: ImageSource, skipped: Sequence[Skipped]) -> GannetError:
    reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
    return GannetError(f"nothing could be read from {source.name}: {reasons}")
