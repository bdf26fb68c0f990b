"""Parquet files of features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from gannet.data.base import reading
from gannet.data.matrix import MatrixSource
from gannet.data.options import MATRIX_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources import _table
from gannet.data.sources._table import ROWS_AT_ONCE, Table, open_rows
from gannet.data.urls import is_url, may_be_file, open_binary, version
from gannet.errors import GannetError
from gannet.support.libraries import load

_PROBLEM = "is not a readable Parquet file"
_FOOTERS_KEPT = 8


class ParquetTable(Table):
    """The columns of a Parquet file; raises a `GannetError` if it cannot be read."""

    problem = _PROBLEM

    def __init__(self, path: str) -> None:
        load("pyarrow", "parquet", "reading Parquet")
        pq = load("pyarrow.parquet", "parquet", "reading Parquet")
        with reading(_PROBLEM, path):
            file = open_binary(path) if is_url(path) else path
            self.file = pq.ParquetFile(file, metadata=_footer(path, version(path)))
            super().__init__(path, self.file.schema_arrow, self.file.metadata.num_rows)

    def read(self, columns: Sequence[str]) -> Any:
        """Return all rows of some columns as an Arrow table."""
        return self.file.read(columns=columns)

    def batches(self, columns: Sequence[str]) -> Iterable[Any]:
        """Return all rows of some columns in record batches of limited size."""
        return self.file.iter_batches(ROWS_AT_ONCE, columns=columns)  # type: ignore[no-any-return]


class ParquetMatrix(SourceKind):
    """A Parquet file with one column of number lists, or with numeric columns."""

    name = "parquet"
    description = "a Parquet file of features (.parquet)"
    items = "rows"
    options = MATRIX_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a ``.parquet`` file that is not one of images."""
        return is_parquet(text) and not image_columns(text)

    def open(self, text: str) -> MatrixSource:
        """Read the file; a column ``id``, ``path``, ``name``, ``image_path`` or the like names the items.

        Of several columns of number lists, one must be named ``features``, ``embeddings`` or ``X``. Numeric columns are
        taken if all of them can be features: the index of a pandas frame is not taken, and a mixture with columns such
        as ``label`` or ``width`` is refused.
        """
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> MatrixSource:
        """Read the file, or a sample of its rows, with the given columns of features and of names."""
        table = ParquetTable(text)
        return open_rows(table, options, options.rows(table.n_rows))


def is_parquet(text: str) -> bool:
    """Return whether the text is the path of a file that ends in ``.parquet``."""
    return text.lower().endswith(".parquet") and may_be_file(text)


def image_columns(text: str) -> list[str]:
    """Return the columns of images in a Parquet file, by its schema.

    The list is empty if the file has a column of number lists, cannot be read, or pyarrow is missing.
    """
    try:
        return _table.image_columns(ParquetTable(text).kinds)
    except GannetError:
        return []


@lru_cache(maxsize=_FOOTERS_KEPT)
def _footer(path: str, version: tuple[Any, ...]) -> Any:
    """Return the metadata of a version of a Parquet file, for which several kinds of sources ask."""
    import pyarrow.parquet as pq

    return pq.read_metadata(open_binary(path) if is_url(path) else path)
