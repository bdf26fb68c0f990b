"""Folders that ``datasets.save_to_disk`` writes: with a column of images."""

from __future__ import annotations

from typing import Any

from gannet.data.base import ImageSource, reading
from gannet.data.images import PartialImage
from gannet.data.options import ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._offsets import Offsets
from gannet.data.sources._saved import SavedTable, holds_lists, is_saved
from gannet.data.sources._table import is_cell_of_images
from gannet.errors import GannetError


class SavedDatasetSource(ImageSource):
    """The rows of an image column in memory-mapped Arrow files; an item is named by its row.

    ``batches`` are the parts of the column, of a type with a field ``bytes``. With ``truncated``, images that are cut
    off are read as far as they go.
    """

    def __init__(self, path: str, batches: list[Any], note: str, truncated: bool) -> None:
        self._batches, self._truncated = batches, truncated
        self._rows = Offsets(map(len, batches))
        super().__init__(path, [str(row) for row in range(len(self._rows))], "#", notes=[note])

    def read(self, index: int) -> bytes:
        """Return the content of the image in row ``index``."""
        part, row = self._rows.find(index)
        with reading("damaged Arrow file"):
            cell = self._batches[part][row].as_py()
        if cell is None or not cell["bytes"]:
            raise GannetError("the row holds no image bytes")
        return PartialImage(cell["bytes"]) if self._truncated else bytes(cell["bytes"])

    def lacks(self, path: str) -> bool:
        """Return whether the path is that of a row which the data set does not have."""
        return path.startswith(f"{self.container}#") and path not in self._index


class SavedDataset(SourceKind):
    """A folder that ``datasets.save_to_disk`` has written, with one column of images."""

    name = "saved-dataset"
    description = "a folder of datasets.save_to_disk with an image column"
    options = frozenset({"truncated"})

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a saved data set without a column of number lists."""
        return is_saved(text) and not holds_lists(text)

    def open(self, text: str) -> SavedDatasetSource:
        """Map the Arrow files that ``state.json`` lists."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> SavedDatasetSource:
        """Map the Arrow files; images may be cut off if the options say so."""
        table = SavedTable(text)
        column = _image_column(table)
        left = [name for name in table.kinds if name != column]
        note = f"images: column {column}" + (f"; not taken: {', '.join(left)}" if left else "")
        return SavedDatasetSource(text, table.read([column])[column].chunks, note, options.truncated)


def _image_column(table: SavedTable) -> str:
    """Return the one column whose type has the fields ``bytes`` and ``path``."""
    columns = [name for name, kind in table.kinds.items() if is_cell_of_images(kind)]
    if len(columns) != 1:
        held = ", ".join(f"{name} ({kind})" for name, kind in table.kinds.items())
        problem = f"several columns of images, {', '.join(columns)}" if columns else f"no column of images, but {held}"
        raise GannetError(
            f"{table.path} holds {problem}: save one with dataset.select_columns(NAME).save_to_disk(FOLDER)"
        )
    return columns[0]
