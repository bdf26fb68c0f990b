"""Folders that ``datasets.save_to_disk`` writes: Arrow files with a column of images, read by pyarrow alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gannet.data.base import ImageSource, is_file, reading
from gannet.data.source_kind import SourceKind
from gannet.data.sources._offsets import Offsets
from gannet.data.sources.parquet import is_cell_of_images
from gannet.errors import GannetError
from gannet.support.libraries import load

_STATE, _INFO = "state.json", "dataset_info.json"


class SavedDatasetSource(ImageSource):
    """The rows of an image column in memory-mapped Arrow files; an item is named by its row.

    ``batches`` are the parts of the column, of a type with a field ``bytes``.
    """

    def __init__(self, path: str, batches: list[Any], note: str) -> None:
        self._batches = batches
        self._rows = Offsets(map(len, batches))
        super().__init__(path, [str(row) for row in range(len(self._rows))], "#", notes=[note])

    def read(self, index: int) -> bytes:
        """Return the content of the image in row ``index``."""
        part, row = self._rows.find(index)
        with reading("damaged Arrow file"):
            cell = self._batches[part][row].as_py()
        if cell is None or not cell["bytes"]:
            raise GannetError("the row holds no image bytes")
        return bytes(cell["bytes"])


class SavedDataset(SourceKind):
    """A folder that ``datasets.save_to_disk`` has written, with one column of images."""

    name = "saved-dataset"
    description = "a folder of datasets.save_to_disk with an image column"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a folder with the two files that describe a saved data set."""
        return is_file(str(Path(text, _STATE))) and is_file(str(Path(text, _INFO)))

    def open(self, text: str) -> SavedDatasetSource:
        """Map the Arrow files that ``state.json`` lists."""
        pa = load("pyarrow", "parquet", "reading Arrow files")
        ipc = load("pyarrow.ipc", "parquet", "reading Arrow files")
        with reading("is not a readable data set of datasets.save_to_disk", text):
            state = json.loads(Path(text, _STATE).read_text(encoding="utf-8"))
            files = [Path(text, Path(file["filename"]).name) for file in state["_data_files"]]
            tables = [ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files]
        if not any(table.num_rows for table in tables):
            raise GannetError(f"{text} is empty: it has no rows")
        column = _image_column(text, tables[0].schema)
        batches = [chunk for table in tables for chunk in table[column].chunks]
        left = [name for name in tables[0].schema.names if name != column]
        note = f"images: column {column}" + (f"; not taken: {', '.join(left)}" if left else "")
        return SavedDatasetSource(text, batches, note)


def _image_column(text: str, schema: Any) -> str:
    """Return the one column whose type has the fields ``bytes`` and ``path``."""
    columns = [str(field.name) for field in schema if is_cell_of_images(field.type)]
    if len(columns) != 1:
        held = ", ".join(f"{field.name} ({field.type})" for field in schema)
        problem = f"several columns of images, {', '.join(columns)}" if columns else f"no column of images, but {held}"
        raise GannetError(f"{text} holds {problem}: save one with dataset.select_columns(NAME).save_to_disk(FOLDER)")
    return columns[0]
