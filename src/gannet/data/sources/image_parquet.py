"""Parquet files with a column of images, as Hugging Face's hub and img2dataset write them."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

from gannet.data.base import ImageSource, reading
from gannet.data.images import PartialImage
from gannet.data.options import ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources import _table
from gannet.data.sources._offsets import Offsets
from gannet.data.sources.parquet import ParquetTable, image_columns, is_parquet
from gannet.errors import GannetError

_GROUPS_KEPT = 2


class ParquetImageSource(ImageSource):
    """The rows of an image column in a Parquet file; an item is named by its row.

    The file is read in its groups of rows, of which the last two are kept in memory. With
    ``truncated``, images that are cut off are read as far as they go.
    """

    def __init__(self, path: str, column: str, file: Any, left: list[str], truncated: bool) -> None:
        groups = range(file.metadata.num_row_groups)
        self._rows = Offsets(file.metadata.row_group(group).num_rows for group in groups)
        self._file, self._column, self._lock = file, column, threading.Lock()
        self._truncated = truncated
        self._group = lru_cache(maxsize=_GROUPS_KEPT)(self._read_group)
        note = f"images: column {column}" + (f"; not taken: {', '.join(left)}" if left else "")
        super().__init__(path, [str(row) for row in range(len(self._rows))], "#", notes=[note])

    def read(self, index: int) -> bytes:
        """Return the content of the image in row ``index``."""
        group, row = self._rows.find(index)
        with reading("damaged Parquet file"):
            with self._lock:
                column = self._group(group)
            cell = column[row].as_py()
        content = cell["bytes"] if isinstance(cell, dict) else cell
        if not content:
            raise GannetError("the row holds no image bytes")
        return PartialImage(content) if self._truncated else bytes(content)

    def lacks(self, path: str) -> bool:
        """Return whether the path is that of a row which the file does not have."""
        return path.startswith(f"{self.container}#") and path not in self._index

    def _read_group(self, group: int) -> Any:
        """Return the image column of one group of rows."""
        return self._file.read_row_group(group, columns=[self._column])[self._column]


class ImageParquet(SourceKind):
    """A Parquet file with one column of images and none of number lists."""

    name = "image-parquet"
    description = "a Parquet file with an image column"
    options = frozenset({"truncated"})

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a ``.parquet`` file whose schema has a column of images."""
        return is_parquet(text) and bool(image_columns(text))

    def open(self, text: str) -> ParquetImageSource:
        """Read the schema and the numbers of rows; the images are read later."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> ParquetImageSource:
        """Read the schema and the numbers of rows; images may be cut off if the options say so."""
        table = ParquetTable(text)
        columns = _table.image_columns(table.kinds)
        if len(columns) != 1:
            found = f"several columns of images, {', '.join(columns)}" if columns else "no column of images"
            raise GannetError(f"{text} has {found}: write a file with one")
        if table.n_rows == 0:
            raise GannetError(f"{text} is empty: it has no rows")
        left = [name for name in table.kinds if name != columns[0]]
        return ParquetImageSource(text, columns[0], table.file, left, options.truncated)
