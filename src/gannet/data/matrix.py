"""Matrices of features, one row per item."""

from __future__ import annotations

import codecs
import difflib
import mmap
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import is_file, reading
from gannet.data.options import ReadOptions
from gannet.errors import GannetError

#: File name extensions taken as matrices.
MATRIX_EXTENSIONS = (".npy", ".npz", ".parquet")
#: Names by which the matrix is found in a file that holds several arrays.
ARRAY_NAMES = ("features", "embeddings", "X")
#: Names by which the names of the items are found, compared without case, spaces, ``_`` and ``-``. The first counts.
ITEM_NAMES = (
    "id", "path", "name", "names", "ids", "paths", "imagepath", "filepath", "filename", "filenames", "imagename",
    "imageid", "itemid", "imgpath", "imgname", "imgid", "photopath", "photoname", "photoid", "uid", "uuid", "image",
    "file", "key", "url", "uri",
)  # fmt: skip
_ROWS_AT_ONCE = 1 << 16
_ROWS_TAKEN = 1 << 12
_SHOWN = 6


class RowNames(Sequence[str]):
    """The names ``MATRIX#0``, ``MATRIX#1``, ... of the rows of a matrix, each made when it is read."""

    def __init__(self, path: str, rows: range | NDArray[np.int64]) -> None:
        self._path = path
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> RowNames: ...
    def __getitem__(self, index: int | slice) -> str | RowNames:
        if isinstance(index, slice):
            return RowNames(self._path, self._rows[index])
        return f"{self._path}#{self._rows[index]}"

    def at(self, places: NDArray[np.int64]) -> RowNames:
        """Return the names at some places."""
        return RowNames(self._path, np.asarray(self._rows)[places])

    def __iter__(self) -> Iterator[str]:
        return (f"{self._path}#{row}" for row in self._rows)


class MatrixSource:
    """A matrix of features, one row per item.

    Parameters
    ----------
    path : str
        Absolute path of the file, or a text such as ``mydb://table``.
    features : ndarray of shape (n, d)
        Features of any integer or float type; a memory-mapped array is not read as a whole.
    paths : sequence of str, default=None
        Names of the rows; ``PATH#0``, ``PATH#1``, ... if None.
    notes : sequence of str, default=()
        Lines for the user about the columns and rows taken and left out.

    Attributes
    ----------
    name : str
        A short name for people.
    container : str
        The argument ``path``.
    total : int
        Number of rows that there are; more than ``len`` if the source is a random sample of them.

    Raises
    ------
    GannetError
        If the features are not a two-dimensional numeric array with at least one row and one column.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import MatrixSource
    >>> source = MatrixSource("mydb://table", np.zeros((2, 8), np.float32))
    >>> list(source.paths)
    ['mydb://table#0', 'mydb://table#1']
    """

    def __init__(
        self, path: str, features: NDArray[Any], paths: Sequence[str] | None = None, notes: Sequence[str] = ()
    ) -> None:
        if features.dtype.kind not in "fiu":
            raise GannetError(f"{path} holds {features.dtype} values; save it as float32")
        if features.ndim != 2:
            raise GannetError(f"{path} has shape {features.shape}; it must be (items, features)")
        if 0 in features.shape:
            raise GannetError(f"{path} is empty: its shape is {features.shape}")
        self.name = Path(path).name
        self.container = path
        self.features = features
        self.paths: Sequence[str] = RowNames(path, range(len(features))) if paths is None else paths
        self.notes = list(notes)
        self.total = len(features)
        if len(self.paths) != len(features):
            raise GannetError(f"{path} has {len(features):,} rows, but {len(self.paths):,} names: give one per row")

    def __len__(self) -> int:
        return len(self.features)


def make_source(
    path: str,
    features: NDArray[Any],
    names: Sequence[Any] | None,
    options: ReadOptions,
    notes: Sequence[str] = (),
    where: str = "the names",
    drawn: NDArray[np.int64] | None = None,
    total: int = 0,
) -> MatrixSource:
    """Return a matrix with its names, without the rows that ``options.skip_nan`` leaves out.

    ``names`` are texts or numbers as stored, and None for a missing one; ``where`` says where they are stored. If the
    features and names are those of a sample, ``drawn`` are their places among ``total`` rows.
    """
    places = range(len(features)) if drawn is None else drawn
    paths: Sequence[str] = RowNames(path, places) if names is None else item_names(path, names, where)
    source = MatrixSource(path, features, paths, notes)
    if options.skip_nan and features.dtype.kind == "f":
        source = _without_nan(source)
    if drawn is not None:
        source.total = total
    return source


def _without_nan(source: MatrixSource) -> MatrixSource:
    """Return a matrix without the rows that hold NaN or infinity, and with a note of their number."""
    features, path = source.features, source.container
    starts = range(0, len(features), _ROWS_AT_ONCE)
    finite = np.concatenate([np.isfinite(features[at : at + _ROWS_AT_ONCE]).all(axis=1) for at in starts])
    rows = np.flatnonzero(finite)
    if len(rows) == len(features):
        return source
    note = f"skipped {len(features) - len(rows):,} rows with NaN, infinity or missing values: {path}"
    if not len(rows):
        raise GannetError(note)
    return MatrixSource(path, features[rows], names_at(source.paths, rows), [*source.notes, note])


def names_drawn(path: str, names: Sequence[Any], drawn: NDArray[np.int64] | None, total: int) -> Sequence[Any]:
    """Return those of the names of ``total`` rows that belong to the rows drawn; None stands for all rows."""
    if drawn is None:
        return names
    if len(names) != total:
        raise GannetError(f"{path} has {total:,} rows, but {len(names):,} names: give one per row")
    return [names[row] for row in drawn]


def names_at(names: Sequence[str], rows: NDArray[np.int64]) -> Sequence[str]:
    """Return the names of some rows."""
    return names.at(rows) if isinstance(names, RowNames) else [names[row] for row in rows]


def read_rows(features: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[Any]:
    """Return some rows of a matrix; a memory-mapped one is read in bounded memory."""
    taken = np.empty((len(rows), *features.shape[1:]), features.dtype)
    for start in range(0, len(rows), _ROWS_TAKEN):
        taken[start : start + _ROWS_TAKEN] = features[rows[start : start + _ROWS_TAKEN]]
        # Pages that were read would stay in the memory of the process as long as the file is mapped.
        if isinstance(features.base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            features.base.madvise(mmap.MADV_DONTNEED)
    return taken


def item_names(path: str, values: Sequence[Any], where: str) -> list[str]:
    """Return the names of items as texts, and refuse missing ones."""
    missing = [row for row, value in enumerate(values) if value is None or value == "" or value != value]
    if missing:
        raise GannetError(
            f"{path}: {len(missing):,} of {where} are missing (first in row {missing[0]}): fill them in, or choose "
            "other names with --names"
        )
    return [_item_name(value) for value in values]


def _item_name(value: Any) -> str:
    """Return a name as text; pandas stores whole numbers as floats in a column in which some are missing."""
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def names_of(file: str, known: Iterable[str] = ()) -> list[str]:
    """Return the names in a text file, one per line, or in an .npy file of texts.

    ``known`` are the columns or arrays that could have been meant.
    """
    if not is_file(file):
        near = difflib.get_close_matches(file, list(known), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise GannetError(f"--names {file} is neither a column or array of names, nor a file of names{hint}")
    with reading("is not a file of names, one per line", file):
        if file.lower().endswith(".npy"):
            return text_array(file, np.load(file, allow_pickle=False))
        content = Path(file).read_bytes()
        encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        text = content.decode(encoding, errors="strict" if encoding == "utf-16" else "surrogateescape")
        lines = text.replace("\r\n", "\n").split("\n")  # `splitlines` would also split at characters within names
        return lines if lines[-1] else lines[:-1]


def text_array(where: str, array: Any) -> list[Any]:
    """Return the names in a NumPy array of texts or whole numbers."""
    if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype.kind not in "USTiu":
        raise GannetError(f"{where} holds no names: it must be one array of texts")
    values: list[Any] = array.tolist()
    return values


def is_item_name(name: str) -> bool:
    """Return whether a column or array of this name holds the names of items."""
    return _plain(name) in ITEM_NAMES


def first_item_name(names: Iterable[str]) -> str | None:
    """Return the column or array that holds the names of items; None if there is none."""
    found = [name for name in names if is_item_name(name)]
    return min(found, key=lambda name: ITEM_NAMES.index(_plain(name)), default=None)


def shown(names: Sequence[str]) -> str:
    """Return a list of columns as text; numbered columns in a row are shown as ``f0 … f63``."""
    runs: list[list[str]] = []
    for name in names:
        last = re.fullmatch(r"(.*?)(\d+)", runs[-1][-1], re.DOTALL) if runs else None
        if last and name == f"{last[1]}{int(last[2]) + 1:0{len(last[2]) if last[2].startswith('0') else 0}}":
            runs[-1].append(name)
        else:
            runs.append([name])
    parts = [part for run in runs for part in (run if len(run) < 3 else [f"{run[0]} … {run[-1]}"])]
    return ", ".join(parts[:_SHOWN]) + (f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else "")


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()
