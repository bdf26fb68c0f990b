"""Filling a collection from a source: what is new is encoded, what is known stays, what has changed is replaced."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gannet.collection import storage
from gannet.collection.changes import Changes, Encoded, add_encoded, add_rows, merge
from gannet.collection.collection import Collection
from gannet.collection.feature_rows import half_unit
from gannet.data import FolderSource, ImageSource, MatrixSource, Skipped, Subset, digest, open_source
from gannet.data.base import exists
from gannet.errors import GannetError
from gannet.image_hasher import ImageHasher
from gannet.model import Model
from gannet.support.progress import progress
from gannet.support.threads import cores

__all__ = ["Changes", "Encoded", "add_encoded", "add_source", "build_collection", "encode_source", "sync_folder"]

_IMAGES_A_CHUNK = 20_000
"""Images whose features are in memory at once: 100 MB of 1280 features."""
_FILES_A_TASK = 32


def encode_source(hasher: ImageHasher, source: ImageSource | MatrixSource, keep_features: bool = False) -> Encoded:
    """Return the codes of all items that can be read, and with ``keep_features`` their features in half precision.

    Raises: `GannetError` if none can be, or if a row of a matrix has another length than the model's, NaN or infinity.
    """
    if isinstance(source, MatrixSource):
        values = hasher.features(source).values
        codes = hasher.model.encoder.encode(values)
        return Encoded(codes, source.paths, (), (), half_unit(values) if keep_features else None, hasher.model.id)
    encoded = _encode(hasher, source, range(len(source)), keep_features)
    if not encoded.paths:
        raise _nothing_read(source, encoded.skipped)
    return encoded


def build_collection(path: Path, model: Model, encoded: Encoded) -> Changes:
    """Make a collection of codes that appears at ``path`` when it is whole: no kill or full disk leaves half of one.

    Raises: `GannetError` if ``path`` exists or cannot be written.
    """
    part = path.resolve().with_name(f".{secrets.token_hex(8)}.part")
    n_features = None if encoded.features is None else encoded.features.shape[1]
    try:
        with Collection.create(part, model.n_bits, model.to_bytes(), n_features=n_features) as collection:
            add_rows(collection, encoded, range(len(encoded.paths)))
        with storage.explained(path):
            storage.publish(part, path)
    finally:
        storage.discard(part)
    return Changes(len(encoded.paths))


def add_source(
    collection: Collection, hasher: ImageHasher, source: ImageSource | MatrixSource
) -> tuple[Changes, Sequence[Skipped]]:
    """Add a source in one transaction; return what was done, and what could not be read.

    Only images whose content the collection does not have go through the network. Every row of a matrix is encoded.

    Raises: `GannetError`, with nothing changed, if nothing can be read, or the model is not the collection's.
    """
    if isinstance(source, MatrixSource):
        encoded = encode_source(hasher, source, collection.n_features is not None)
        return add_encoded(collection, encoded), ()
    contents, encoded = _encode_unknown(collection, hasher, source)
    return merge(collection, contents.paths, contents.digests, encoded), contents.skipped


def sync_folder(collection: Collection, hasher: ImageHasher, folder: str) -> tuple[Changes, Sequence[Skipped]]:
    """Do what `add_source` does for a folder of images, and remove the items in it whose files are gone.

    Files that have moved keep their items. Gone is what the system says is not there: what cannot be read or listed
    stays, as do members of archives and files that a walk passes over, if they were added by name.

    Raises: `GannetError`, with nothing changed, as `add_source` does, and if the folder holds no image, as
        where a disk is not mounted.
    """
    source = open_source(folder)
    if not isinstance(source, FolderSource) or not Path(folder).is_dir():
        raise GannetError(f"{folder} is no folder of image files: bring it in with `gannet add`")
    contents, encoded = _encode_unknown(collection, hasher, source)
    current = set(contents.paths)
    items = collection.items_under(source.container)
    gone = [item.path for item in items if item.path not in current and _is_gone(item.path)]
    return merge(collection, contents.paths, contents.digests, encoded, gone), contents.skipped


@dataclass(frozen=True)
class _Contents:
    """What a source holds: paths and digests of what can be read, and the rest."""

    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]


def _encode_unknown(collection: Collection, hasher: ImageHasher, source: ImageSource) -> tuple[_Contents, Encoded]:
    """Return what a source holds, and the codes of what the collection does not have."""
    collection.check_model(hasher.model.id)
    hasher.check_source(source)
    digests, failures = _read_digests(source)
    first_row: dict[bytes, int] = {}
    for row, name in digests.items():
        first_row.setdefault(name, row)
    known = collection.find_digests(list(first_row))
    unknown = [row for name, row in first_row.items() if name not in known]
    encoded = _encode(hasher, source, unknown, collection.n_features is not None)
    # A file may have changed since it was first read. What counts is the content that was encoded.
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
    """Return the codes of some items of a source, those of them that can be read."""
    model = hasher.model
    codes = [np.empty((0, -(-model.n_bits // 8)), np.uint8)]
    features: list[npt.NDArray[np.float16]] = [np.empty((0, model.encoder.n_features), np.float16)]
    paths: list[str] = []
    digests: list[bytes] = []
    skipped = list(source.skipped)
    for start in range(0, len(rows), _IMAGES_A_CHUNK):
        found = hasher.features(Subset(source, rows[start : start + _IMAGES_A_CHUNK]))
        codes.append(model.encoder.encode(found.values))
        if keep_features:
            features.append(half_unit(found.values))
        paths += found.paths
        digests += found.digests
        skipped += found.skipped
    kept = np.concatenate(features) if keep_features else None
    return Encoded(np.concatenate(codes), paths, digests, skipped, kept, model.id)


def _read_digests(source: ImageSource) -> tuple[dict[int, bytes], dict[int, str]]:
    """Return the content digest of each item, by its place, and the reason for each that cannot be read."""
    digests: dict[int, bytes] = {}
    failures: dict[int, str] = {}

    def read(places: Iterable[int]) -> None:
        for place in places:
            try:
                digests[place] = digest(source.read(place))
            except GannetError as error:
                failures[place] = str(error)

    tasks = [range(start, min(start + _FILES_A_TASK, len(source))) for start in range(0, len(source), _FILES_A_TASK)]
    with progress(len(source), "reading", "img") as bar, ThreadPoolExecutor(cores()) as pool:
        for places, _ in zip(tasks, pool.map(read, tasks), strict=True):
            bar.update(len(places))
    return dict(sorted(digests.items())), dict(sorted(failures.items()))


def _is_gone(path: str) -> bool:
    """Tell whether neither the file is there, nor the archive or set that an item such as ``A.zip!b.jpg`` lies in.

    What lies behind a link that leads nowhere, as to a disk that is not mounted, is not gone.
    """
    holders = [path[:i] for i, char in enumerate(path) if char in "!#"]
    return all(map(_is_missing, itertools.chain([path], holders))) and not any(map(_is_dead_link, Path(path).parents))


def _is_missing(path: str) -> bool:
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # what cannot be looked at may still be there
        return False
    return False


def _is_dead_link(path: Path) -> bool:
    return path.is_symlink() and not exists(path)


def _nothing_read(source: ImageSource, skipped: Sequence[Skipped]) -> GannetError:
    reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
    return GannetError(f"nothing could be read from {source.name}: {reasons}")
