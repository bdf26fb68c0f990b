"""Parquet files of features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import is_file
from gannet.data.matrix import ARRAY_NAMES, MatrixSource, first_line
from gannet.data.source_kind import SourceKind
from gannet.errors import GannetError, MissingExtraError

_ID_COLUMNS = ("id", "path", "name")


class ParquetMatrix(SourceKind):
    """A Parquet file with one column of number lists, or with numeric columns."""

    name = "parquet"
    description = "a Parquet file of features (.parquet)"
    items = "rows"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file that ends in ``.parquet``."""
        return text.lower().endswith(".parquet") and is_file(text)

    def open(self, text: str) -> MatrixSource:
        """Read the file; a text column ``id``, ``path`` or ``name`` names the items.

        Of several columns of number lists, one must be named ``features``, ``embeddings`` or ``X``.
        """
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise MissingExtraError("pyarrow", "parquet", "reading Parquet") from None
        try:
            schema = pq.read_schema(text)
            names, columns = _columns(text, schema)
            table = pq.read_table(text, columns=[*columns, *names])
            lists = pa.types.is_nested(schema.field(columns[0]).type)
            features = _from_lists(text, table[columns[0]]) if lists else _from_columns(text, table, columns)
            paths = [str(value) for value in table[names[0]].to_pylist()] if names else None
        except (pa.ArrowException, OSError) as error:
            raise GannetError(f"{text} is not a readable Parquet file: {first_line(error)}") from error
        return MatrixSource(text, features, paths)


def _columns(path: str, schema: Any) -> tuple[list[str], list[str]]:
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
    named = [name for name in ARRAY_NAMES if name in vectors]
    if len(vectors) == 1 or named:
        return names, (named or vectors)[:1]
    numbers = [name for name, kind in kinds.items() if is_number(kind) and name not in _ID_COLUMNS]
    if vectors or not numbers:
        held = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise GannetError(f"{path} holds {held}; it needs one column of number lists, or numeric columns")
    return names, numbers


def _from_lists(path: str, column: Any) -> NDArray[Any]:
    """Return a column of equally long lists as one array, without a Python object per value."""
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
