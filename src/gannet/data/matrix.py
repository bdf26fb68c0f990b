"""Matrices of features, one row per item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

from numpy.typing import NDArray

from gannet.errors import GannetError

#: File name extensions taken as matrices.
MATRIX_EXTENSIONS = (".npy", ".npz", ".parquet")
#: Names by which the matrix is found in a file that holds several arrays.
ARRAY_NAMES = ("features", "embeddings", "X")


class RowNames(Sequence[str]):
    """The names ``MATRIX#0``, ``MATRIX#1``, ... of the rows of a matrix, each made when it is read."""

    def __init__(self, path: str, rows: range) -> None:
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

    Attributes
    ----------
    name : str
        A short name for people.
    container : str
        The argument ``path``.

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

    def __init__(self, path: str, features: NDArray[Any], paths: Sequence[str] | None = None) -> None:
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

    def __len__(self) -> int:
        return len(self.features)


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or the name of its type."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__
