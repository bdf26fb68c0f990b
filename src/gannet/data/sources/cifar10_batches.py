"""The official Python archive of CIFAR-10."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ArraySource, has_content, is_file, is_folder, reading, reason
from gannet.data.source_kind import SourceKind
from gannet.data.sources._plain_pickle import read_plain_pickle
from gannet.data.sources._tar import regular_files
from gannet.errors import GannetError

#: The ten classes, by label.
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

_FOLDER = "cifar-10-batches-py"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN, "test_batch")
_TAR_EXTENSIONS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PIXELS = 3 * 32 * 32
_MAX_BATCH_BYTES = 1 << 27


class Cifar10Batches(SourceKind):
    """The official CIFAR-10 for Python: its archive, its folder, or a folder that holds it."""

    name = "cifar10-batches"
    description = "the official CIFAR-10 (folder or .tar.gz)"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a tar archive, or of a folder with batches of CIFAR-10."""
        return _is_archive(text) or _batch_folder(text) is not None

    def open(self, text: str) -> ArraySource:
        """Return the 50,000 training images in the order of the batches, then the 10,000 test images."""
        if not is_folder(text):
            return _build(text, _tar_members(text))
        folder = _batch_folder(text) or text
        found = [name for name in _BATCHES if is_file(f"{folder}/{name}")]
        return _build(folder, _folder_members(folder, found))


def is_batch(name: str) -> bool:
    """Return whether a member of an archive is the first batch of the official CIFAR-10 by its name."""
    return name.rpartition("/")[2] == _BATCHES[0]


def _is_archive(text: str) -> bool:
    return text.lower().endswith(_TAR_EXTENSIONS) and is_file(text)


def _batch_folder(text: str) -> str | None:
    """Return the folder itself or the official one in it, whichever holds most of the batches; None if neither does.

    One file of such a name, or empty ones, do not make a folder of photos the official CIFAR-10.
    """
    for folder in (text, str(Path(text, _FOLDER))):
        if sum(has_content(f"{folder}/{name}") for name in _BATCHES) > len(_BATCHES) // 2:
            return folder
    return None


def _folder_members(folder: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        path = Path(folder, name)
        try:
            if path.stat().st_size > _MAX_BATCH_BYTES:
                raise GannetError(f"{path} is too large for a CIFAR-10 batch")
            yield name, path.read_bytes()
        except OSError as error:
            raise GannetError(f"{path} {reason(error)}") from error


def _tar_members(path: str) -> Iterator[tuple[str, bytes]]:
    with reading("is not a complete tar archive; download it again", path), tarfile.open(path, "r:*") as archive:
        for member in regular_files(archive):
            name = member.name.rpartition("/")[2]
            if name in _BATCHES:
                if member.size > _MAX_BATCH_BYTES:
                    raise GannetError(f"{path}: {member.name} is too large for a CIFAR-10 batch")
                file = archive.extractfile(member)
                assert file is not None  # a regular file always has content
                yield name, file.read()


def _build(container: str, files: Iterator[tuple[str, bytes]]) -> ArraySource:
    # Each batch is read before the next is loaded, so that memory holds the data set once, not twice.
    by_name = {name: _read_batch(f"{container}: {name}", data) for name, data in files}
    missing = [name for name in _BATCHES if name not in by_name]
    if missing:
        hint = "" if by_name else "; an archive of images is read as .zip, .cbz or .tar, not compressed as a whole"
        raise GannetError(f"{container} is not a complete CIFAR-10: it lacks {', '.join(missing)}{hint}")
    batches = [by_name[name] for name in _BATCHES]
    pixels = np.concatenate([batch[0] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = np.concatenate([batch[1] for batch in batches])
    n_test = len(batches[-1][1])
    parts = {"train": len(labels) - n_test, "test": n_test}
    source = ArraySource(container, pixels, parts, labels, CIFAR10_CLASSES)
    source.name = "cifar10"
    return source


def _read_batch(name: str, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pixels ``(n, 3072)``, one color plane after another, and the labels ``(n,)``."""
    batch = read_plain_pickle(data, name)
    if isinstance(batch, dict):
        # Python 2 wrote byte strings; Python 3 writes byte strings or texts.
        batch = {key.decode("latin-1") if isinstance(key, bytes) else key: batch[key] for key in batch}
        pixels, labels = batch.get("data"), batch.get("labels")
        if (
            isinstance(pixels, np.ndarray)
            and pixels.ndim == 2
            and pixels.shape[1] == _PIXELS
            and isinstance(labels, list)
            and len(labels) == len(pixels)
            and all(isinstance(label, int) and 0 <= label < len(CIFAR10_CLASSES) for label in labels)
        ):
            return pixels, np.array(labels, dtype=np.int64)
    raise GannetError(f"{name} is not a CIFAR-10 batch of (n, {_PIXELS}) 'data' and n 'labels' of 0 to 9")
