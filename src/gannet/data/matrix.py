"""Matrices of features: .npy, .npz and Parquet."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import absolute, is_file, reason
from gannet.errors import GannetError, MissingExtraError

#: File name extensions taken as matrices.
MATRIX_EXTENSIONS = (".npy", ".npz", ".parquet")

_ARRAY_NAMES = ("features", "embeddings", "X")
_ID_COLUMNS = ("id", "path", "name")
_ROW = re.compile(r"(?P<matrix>.+\.(?:npy|npz|parquet))#(?P<row>\d{1,18})", re.IGNORECASE | re.DOTALL)


class RowNames(Sequence[str]):
    """The names ``MATRIX#0``, ``MATRIX#1``, ... of a matrix's rows, made when asked for."""

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
    """A matrix of features, one row an item.

    Attributes:
        name: a short name for people.
        paths: (n,) names: the values of a Parquet column ``id``, ``path`` or ``name``, else ``MATRIX#17``.
        features: (n, d) array of any integer or float type; an .npy file stays on disk, memory-mapped.

    Raises:
        GannetError: it is not a two-dimensional numeric array with at least one row and one column.
    """

    def __init__(self, path: str, features: NDArray[Any], paths: Sequence[str] | None = None) -> None:
        if features.dtype.kind not in "fiu":
            raise GannetError(f"{path} holds {features.dtype} values; save it as float32")
        if features.ndim != 2:
            raise GannetError(f"{path} has shape {features.shape}; it must be (items, features)")
        if 0 in features.shape:
            raise GannetError(f"{path} is empty: its shape is {features.shape}")
        self.name = Path(path).name
        self.features = features
        self.paths: Sequence[str] = RowNames(path, range(len(features))) if paths is None else paths

    def __len__(self) -> int:
        return len(self.features)


def open_matrix(path: str) -> MatrixSource:
    """Open a matrix file by its extension.

    A .npz file must hold one array, or one named ``features``, ``embeddings`` or ``X``. A Parquet file must
    hold one column of equally long lists of numbers, or numeric columns.

    Raises:
        GannetError: the file is damaged, or is not such a matrix.
        MissingExtraError: Parquet, without pyarrow.
    """
    if path.lower().endswith(".parquet"):
        return _open_parquet(path)
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return MatrixSource(path, loaded)
        with loaded:
            return MatrixSource(path, loaded[_array_name(path, loaded.files)])
    except GannetError:
        raise
    except (ValueError, EOFError, SyntaxError, NotImplementedError, MemoryError) as error:
        raise GannetError(f"{path} is not a whole NumPy file of numbers: {_first_line(error)}") from error
    except (zipfile.BadZipFile, zlib.error) as error:
        raise GannetError(f"{path} is a damaged .npz file: {_first_line(error)}") from error
    except OSError as error:
        raise GannetError(f"{path} {reason(error)}") from error


def open_row(text: str) -> NDArray[Any] | None:
    """Return row 17 as (1, d) for the text ``MATRIX.npy#17``; None where the text is not of this form.

    Raises:
        GannetError: there is no such matrix or row.
    """
    match = _ROW.fullmatch(text)
    if match is None:
        return None
    path, row = absolute(match["matrix"]), int(match["row"])
    if not is_file(path):
        raise GannetError(f"no such file: {match['matrix']}")
    features = open_matrix(path).features
    if row >= len(features):
        raise GannetError(f"{match['matrix']} has no row {row}; its rows are 0 to {len(features) - 1}")
    return np.array(features[row : row + 1])


def _array_name(path: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    for name in _ARRAY_NAMES:
        if name in names:
            return name
    raise GannetError(
        f"{path} holds {', '.join(names) or 'no arrays'}; name the matrix one of {', '.join(_ARRAY_NAMES)}"
    )


def _open_parquet(path: str) -> MatrixSource:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "parquet", "reading Parquet") from None
    try:
        schema = pq.read_schema(path)
        names, columns = _parquet_columns(path, schema)
        table = pq.read_table(path, columns=[*columns, *names])
        lists = pa.types.is_nested(schema.field(columns[0]).type)
        features = _from_lists(path, table[columns[0]]) if lists else _from_columns(path, table, columns)
        paths = [str(value) for value in table[names[0]].to_pylist()] if names else None
    except pa.ArrowException as error:
        raise GannetError(f"{path} is not a readable Parquet file: {_first_line(error)}") from error
    except OSError as error:
        raise GannetError(f"{path} is not a readable Parquet file: {_first_line(error)}") from error
    return MatrixSource(path, features, paths)


def _parquet_columns(path: str, schema: Any) -> tuple[list[str], list[str]]:
    """Return the column of item names, if any, and the columns of features."""
    import pyarrow as pa

    def is_text(kind: Any) -> bool:
        return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))

    def is_number(kind: Any) -> bool:
        return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))

    def is_vector(kind: Any) -> bool:
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return any(is_list(kind) for is_list in lists) and is_number(kind.value_type)

    kinds = {field.name: field.type for field in schema}
    names = [name for name in _ID_COLUMNS if name in kinds and is_text(kinds[name])][:1]
    vectors = [name for name, kind in kinds.items() if is_vector(kind)]
    named = [name for name in _ARRAY_NAMES if name in vectors]
    if len(vectors) == 1 or named:
        return names, (named or vectors)[:1]
    numbers = [name for name, kind in kinds.items() if is_number(kind) and name not in _ID_COLUMNS]
    if vectors or not numbers:
        held = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise GannetError(f"{path} holds {held}; it needs one column of number lists, or numeric columns")
    return names, numbers


def _from_lists(path: str, column: Any) -> NDArray[Any]:
    """Return a column of equally long lists as one array, without a Python object a value."""
    if len(column) == 0:
        raise GannetError(f"{path} is empty: it has no rows")
    rows = []
    widths: set[int] = set()
    for chunk in column.chunks:
        values = chunk.flatten()
        if chunk.null_count or values.null_count:
            raise GannetError(f"{path} has missing values; fill or drop these rows")
        if hasattr(chunk.type, "list_size"):
            widths.add(chunk.type.list_size)
        else:
            widths.update(np.unique(np.diff(chunk.offsets.to_numpy(zero_copy_only=False))).tolist())
        if len(widths) > 1:
            raise GannetError(f"{path} has lists of different lengths; all rows need the same features")
        rows.append(values.to_numpy(zero_copy_only=False).reshape(len(chunk), *widths))
    return np.concatenate(rows)


def _from_columns(path: str, table: Any, columns: Sequence[str]) -> NDArray[Any]:
    if any(table[name].null_count for name in columns):
        raise GannetError(f"{path} has missing values; fill or drop these rows")
    return np.column_stack([table[name].to_numpy() for name in columns])


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
