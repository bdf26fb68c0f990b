"""Open what a path names as a source of images or of features, and read single items back by name."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from gannet.data.base import ArraySource, ImageSource, Skipped, absolute, exists, is_file, reason
from gannet.data.cifar import open_cifar10
from gannet.data.digits import DIGITS, open_digits
from gannet.data.files import FolderSource, ZipSource, is_image_name, read_file
from gannet.data.idx import open_idx
from gannet.data.images import RawImage
from gannet.data.matrix import MATRIX_EXTENSIONS, MatrixSource, open_matrix, open_row
from gannet.errors import GannetError

__all__ = ["ArraySource", "ImageSource", "MatrixSource", "Skipped", "open_row", "open_source", "read_item"]

_TAR_EXTENSIONS = (".tar.gz", ".tgz", ".tar")
_ACCEPTED = (
    "a folder of images, an image file, a .zip of images, the official CIFAR-10 (folder or .tar.gz), "
    "an IDX folder, or a matrix (.npy, .npz, .parquet)"
)
_ZIP_MEMBER = re.compile(r"\.zip(?=!)", re.IGNORECASE)


def open_source(path: str | os.PathLike[str]) -> ImageSource | MatrixSource:
    """Open a source by what its path is.

    Accepted are a folder of images (subfolders included), one image file, a zip archive of images, the
    official CIFAR-10 as folder or archive, a folder of IDX files, and a matrix in .npy, .npz or Parquet.

    Raises:
        GannetError: the path is missing, of another kind, empty or damaged.
    """
    full = absolute(path)
    lower = full.lower()
    try:
        Path(full).stat()
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise GannetError(f"{path} {why}") from error
    if Path(full).is_dir():
        return open_cifar10(full) or open_idx(full) or FolderSource.walk(full)
    if not Path(full).is_file():
        raise GannetError(f"{path} is neither a file nor a folder; accepted: {_ACCEPTED}")
    if lower.endswith(MATRIX_EXTENSIONS):
        return open_matrix(full)
    if is_image_name(full):
        return FolderSource(str(Path(full).parent), [Path(full).name])
    if lower.endswith(".zip"):
        return ZipSource(full)
    source = open_cifar10(full) if lower.endswith(_TAR_EXTENSIONS) else None
    if source is None:
        raise GannetError(f"{path} is of an unknown type; accepted: {_ACCEPTED}")
    return source


def read_item(path: str) -> RawImage:
    """Return one picture by the name it has in an image source's ``paths``.

    Raises:
        GannetError: it is no longer there or cannot be read, or the name is that of a matrix's row.
    """
    if is_file(path):
        return read_file(path)
    container = _container(path)
    if container is None:
        raise GannetError(f"no such picture: {path}")
    full = container if container == DIGITS else absolute(container)
    if full.lower().endswith(MATRIX_EXTENSIONS):
        raise GannetError(f"{path} is a row of a matrix and has no picture")
    try:
        source = _open_container(full, _modified(full))
    except OSError as error:
        raise GannetError(f"{container} {reason(error)}") from error
    return source.read(source.find(full + path[len(container) :]))


def _container(path: str) -> str | None:
    """Return the archive, folder or set that a name like ``A.zip!b.jpg`` or ``SET#test/17`` lies in."""
    for match in _ZIP_MEMBER.finditer(path):
        if is_file(path[: match.end()]):
            return path[: match.end()]
    container, mark, _ = path.rpartition("#")
    return container if mark and (container == DIGITS or exists(container)) else None


def _modified(path: str) -> int:
    return 0 if path == DIGITS else Path(path).stat().st_mtime_ns


@lru_cache(maxsize=4)
def _open_container(path: str, modified: int) -> ImageSource:
    """Keep the last containers open: a page asks for many items of one. A changed file is opened anew."""
    source = open_digits() if path == DIGITS else open_source(path)
    if isinstance(source, MatrixSource):  # pragma: no cover - excluded by its extension
        raise GannetError(f"{path} holds no pictures")
    return source
