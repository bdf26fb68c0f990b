"""Open the source that a path names, and read single items back by their paths."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ImageSource, absolute, exists, is_file, reason
from gannet.data.files import is_image_name, read_file
from gannet.data.images import RawImage
from gannet.data.matrix import MATRIX_EXTENSIONS, MatrixSource
from gannet.data.options import ReadOptions, Sample
from gannet.data.sample import drawn
from gannet.data.source_kind import SourceKind
from gannet.data.urls import is_url, may_be_file, version
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.registry import Registry

_NO_OPTIONS = ReadOptions()
_ROW = re.compile(r"(?P<matrix>.+)#(?P<row>\d{1,18})", re.DOTALL)


@functools.cache
def registry() -> Registry[SourceKind]:
    """Return the registry of kinds of sources."""
    from gannet.registry import Registry

    return Registry("data source", SourceKind, "gannet.data.sources", "gannet.sources")  # type: ignore[type-abstract]


@functools.cache
def own_kinds() -> list[SourceKind]:
    """Return Gannet's kinds of sources in the order in which they are asked.

    The kinds exclude each other, except that any folder, and any URL, is one of images: those kinds are asked last.
    """
    last = ("image-folder", "url-folder")
    return [kind() for _, kind in sorted(registry().own().items(), key=lambda item: item[0] in last)]


@functools.cache
def other_kinds() -> list[SourceKind]:
    """Return the kinds of other distributions, by name. They are looked up once per process."""
    return [kind() for kind in registry().others().values() if issubclass(kind, SourceKind)]


def open_source(
    path: str | os.PathLike[str],
    *,
    features: str | Sequence[str] = (),
    names: str | os.PathLike[str] | None = None,
    skip_nan: bool = False,
    exclude: str | Sequence[str] = (),
    truncated: bool = False,
    sample: Sample | None = None,
) -> ImageSource | MatrixSource:
    """Open a source by its path.

    Gannet's own kinds of sources are asked first: the official CIFAR-10 as folder or archive, a folder of IDX files, an
    image file, a zip archive of images, a matrix in .npy, .npz or Parquet, scikit-learn's digits by the name
    ``sklearn-digits``, and last a folder of images with its subfolders. Then the kinds of other distributions are
    asked, in alphabetical order; they can take texts that are not paths too, such as ``mydb://table``.

    Parameters
    ----------
    path : str or path-like
        Path of a file or folder, or another text that a kind of source takes.
    features : str or sequence of str, default=()
        Of a matrix: names or patterns (``f*``) of the columns of features, or the name of the array in an .npz file.
        If empty, they are found by their types and names, and doubtful mixtures are refused.
    names : str or path-like, default=None
        Of a matrix: the column or array that names the items, or the path of a text file with one name per line.
    skip_nan : bool, default=False
        Of a matrix: whether rows with NaN, infinity or missing values are left out. ``notes`` counts them.
    exclude : str or sequence of str, default=()
        Of a folder or archive of images: patterns of files and folders that are left out, in addition to hidden ones
        and `gannet.data.DEFAULT_EXCLUDE`. An empty pattern turns those off.
    truncated : bool, default=False
        Of images: whether pictures that are cut off are read as far as they go.
    sample : Sample, default=None
        Random items to read in place of all. Gannet's own kinds of matrices read only the rows of the sample.

    Returns
    -------
    ImageSource or MatrixSource
        Images, or a matrix of features. Its ``notes`` are lines for the user about the items taken and left out.

    Raises
    ------
    GannetError
        If the path is missing, of another kind, empty or damaged, or if an option does not concern it.
    """
    text = _resolved(os.fspath(path))
    kind = _kind_of(text)
    if kind is not None:
        options = ReadOptions(
            (features,) if isinstance(features, str) else tuple(features),
            None if names is None else os.fspath(names),
            skip_nan,
            (exclude,) if isinstance(exclude, str) else tuple(exclude),
            truncated,
        )
        if "sample" in kind.options:
            options = replace(options, sample=sample)
        opened = _open_with(kind, text, options)
        return opened if sample is None else drawn(opened, sample)
    try:
        Path(absolute(path)).stat()
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else str(error)
        raise GannetError(f"{path} {why}") from error
    problem = "of an unknown type" if is_file(text) else "neither a file nor a folder"
    accepted = ", ".join(kind.description for kind in _kinds())
    raise GannetError(f"{path} is {problem}; accepted: {accepted}")


def read_item(path: str) -> RawImage:
    """Return one image by its path in an image source.

    A container, such as the archive in ``A.zip!b.jpg``, is opened by the kind of source that takes it. The last four
    stay open; a file that has changed is opened anew.

    Parameters
    ----------
    path : str
        Path of an image file, or a path that `ImageSource.paths` holds.

    Returns
    -------
    bytes or ndarray of shape (h, w, 3), dtype uint8
        The content of an image file, or RGB pixels.

    Raises
    ------
    GannetError
        If it no longer exists or cannot be read, or if the path names a row of a matrix.
    """
    if is_file(path):
        return read_file(path)
    located = _locate(path)
    if located is None:
        if is_url(path):
            return read_file(path)
        try:
            is_there = Path(path).exists()
        except PermissionError as error:
            raise GannetError(f"{path} {reason(error)}") from None
        except (OSError, ValueError):
            is_there = False
        raise GannetError(f"not a picture file: {path}" if is_there else f"no such picture: {path}")
    kind, container, member = located
    source = None if kind.items == "rows" else _open_container(kind, container, version(container))
    if not isinstance(source, ImageSource):
        raise GannetError(f"{path} is a row of a matrix and has no picture")
    return source.read(source.find(container + member))


def open_several(text: str, options: ReadOptions) -> ImageSource | MatrixSource | None:
    """Open a folder, an archive, a matrix or another source of several items.

    Returns None for an image file, and for a text that no kind of source takes. Raises a `GannetError` if the source is
    empty or damaged, or if an option does not concern it.
    """
    full = _resolved(text)
    kind = _kind_of(full)
    if kind is None or (kind.items == "files" and may_be_file(full) and is_image_name(full)):
        return None
    return _open_with(kind, full, options)


def open_row(text: str, features: tuple[str, ...] = ()) -> NDArray[Any] | None:
    """Return the row ``(1, d)`` of a matrix for a text such as ``MATRIX.npy#17``; None if the text is not of this form.

    ``features`` are the columns, as for `open_source`. Raises a `GannetError` if there is no such matrix or row.
    """
    match = _ROW.fullmatch(text)
    if match is None:
        return None
    matrix, row = match["matrix"], int(match["row"])
    if matrix.lower().endswith(MATRIX_EXTENSIONS) and not may_be_file(matrix):
        raise GannetError(f"no such file: {matrix}")
    full = _resolved(matrix)
    kind = _kind_of(full)
    rows = kind is not None and kind.items == "rows"
    options = ReadOptions(features)
    source = _open_container(kind, full, version(full), options) if kind is not None and rows else None
    if not isinstance(source, MatrixSource):
        return None
    if row >= len(source):
        raise GannetError(f"{matrix} has no row {row}; its rows are 0 to {len(source) - 1}")
    return np.array(source.features[row : row + 1])


def is_matrix(path: str | os.PathLike[str]) -> bool:
    """Return whether a path, or another text, names a matrix and not images; nothing is read.

    Parameters
    ----------
    path : str or path-like
        As for `open_source`.

    Returns
    -------
    bool
        True for a matrix; False for images, and for what no kind of source takes.
    """
    kind = _kind_of(_resolved(os.fspath(path)))
    return kind is not None and kind.items == "rows"


def _kind_of(text: str) -> SourceKind | None:
    return next((kind for kind in _kinds() if kind.takes(text)), None)


def _resolved(text: str) -> str:
    """Return the absolute path of a file or folder that exists; any other text unchanged."""
    full = absolute(text)
    return full if exists(full) else text


def _kinds() -> Iterator[SourceKind]:
    """Yield all kinds in the order in which they are asked; entry points are looked up only after Gannet's own."""
    yield from own_kinds()
    yield from other_kinds()


def _locate(path: str) -> tuple[SourceKind, str, str] | None:
    """Return the kind and the container of an item by its path, and the rest of the path from the mark on."""
    splits = [(path[: mark.start()], path[mark.start() :]) for mark in re.finditer("[!#]", path)]
    if not splits:  # it can only be the path of a file, so no kind needs to be asked
        return None
    containers = [(_resolved(container), member) for container, member in splits]
    for kind in _kinds():
        for container, member in containers:
            if kind.items != "files" and kind.takes(container):
                return kind, container, member
    return None


@functools.lru_cache(maxsize=4)
def _open_container(
    kind: SourceKind, container: str, version: tuple[Any, ...], options: ReadOptions = _NO_OPTIONS
) -> ImageSource | MatrixSource:
    """Open a container, or return it if it is among the last four: a page reads many items of one container."""
    return _open_with(kind, container, options)


def _open_with(kind: SourceKind, text: str, options: ReadOptions) -> ImageSource | MatrixSource:
    kind.check_options(text, options)
    return kind.open_with(text, options) if options.given() else kind.open(text)
