"""Folders that ``datasets.save_to_disk`` writes, with a column of embeddings."""

from __future__ import annotations

from gannet.data.matrix import MatrixSource
from gannet.data.options import MATRIX_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._saved import SavedTable, holds_lists, is_saved
from gannet.data.sources._table import open_rows


class SavedMatrix(SourceKind):
    """A folder that ``datasets.save_to_disk`` has written, with a column of number lists."""

    name = "saved-matrix"
    description = "a folder of datasets.save_to_disk with a column of number lists"
    items = "rows"
    options = MATRIX_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a saved data set with a column of number lists."""
        return is_saved(text) and holds_lists(text)

    def open(self, text: str) -> MatrixSource:
        """Read the column of number lists; the items are named as those of a Parquet file."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> MatrixSource:
        """Read the rows, or a sample of them, with the given columns of features and of names."""
        table = SavedTable(text)
        return open_rows(table, options, options.rows(table.n_rows))
