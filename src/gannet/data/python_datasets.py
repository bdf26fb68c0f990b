"""Data sets of the library ``datasets`` in memory: a column of images, or one of embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gannet.data.base import ImageSource, reading
from gannet.data.files import read_file
from gannet.data.matrix import MatrixSource
from gannet.data.options import ReadOptions
from gannet.data.sources._table import Table, is_cell_of_images, is_column_of_lists, open_rows
from gannet.errors import GannetError

_NAME = "dataset"


class PythonDataset(ImageSource):
    """The image column of a data set in memory, whose cells hold the bytes of a file or the path of one."""

    def __init__(self, dataset: Any, column: str) -> None:
        self._rows, self._column = dataset.select_columns(column).with_format("arrow"), column
        super().__init__(_NAME, [str(row) for row in range(len(dataset))], "#", notes=[f"images: column {column}"])

    def read(self, index: int) -> bytes:
        """Return the content of the image in row ``index``."""
        with reading("damaged row"):
            cell = self._rows[index][self._column][0].as_py()
        if cell is None or not (cell["bytes"] or cell["path"]):
            raise GannetError("the row holds no image")
        return bytes(cell["bytes"]) if cell["bytes"] else read_file(cell["path"])


class _DatasetTable(Table):
    """The columns of a data set in memory."""

    problem = "cannot be read"

    def __init__(self, dataset: Any) -> None:
        super().__init__(_NAME, dataset.features.arrow_schema, len(dataset))
        self._rows = dataset

    def read(self, columns: Sequence[str]) -> Any:
        """Return some columns of the rows that the data set selects."""
        return self._rows.select_columns(columns).with_format("arrow")[:]


def is_dataset(images: Any) -> bool:
    """Return whether an object is a ``datasets.Dataset``, without importing that library."""
    return all(hasattr(images, name) for name in ("select_columns", "with_format")) and hasattr(
        getattr(images, "features", None), "arrow_schema"
    )


def open_dataset(dataset: Any) -> ImageSource | MatrixSource:
    """Return the one column of images, or else the one column of number lists, as a source.

    Raises a `GannetError` that names the columns if there is not exactly one.
    """
    kinds = {field.name: field.type for field in dataset.features.arrow_schema}
    images = [name for name, kind in kinds.items() if is_cell_of_images(kind)]
    lists = [name for name, kind in kinds.items() if is_column_of_lists(kind)]
    chosen = images + lists
    if len(chosen) != 1:
        found = f"{', '.join(chosen)}" if chosen else f"none among {', '.join(kinds)}"
        raise GannetError(
            f"a data set must have one column of images or of number lists, not {found}: choose one with "
            "dataset.select_columns(NAME)"
        )
    if images:
        return PythonDataset(dataset, images[0])
    return open_rows(_DatasetTable(dataset), ReadOptions(), None)
