"""Folders that ``datasets.save_to_disk`` writes, read by pyarrow alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gannet.data.base import is_file, reading
from gannet.data.sources._table import Table, is_column_of_lists
from gannet.errors import GannetError
from gannet.support.libraries import load

_STATE, _INFO = "state.json", "dataset_info.json"


class SavedTable(Table):
    """The columns of a saved data set in memory-mapped Arrow files; raises a `GannetError` if they cannot be read."""

    problem = "is not a readable data set of datasets.save_to_disk"

    def __init__(self, folder: str) -> None:
        pa = load("pyarrow", "parquet", "reading Arrow files")
        ipc = load("pyarrow.ipc", "parquet", "reading Arrow files")
        with reading(self.problem, folder):
            state = json.loads(Path(folder, _STATE).read_text(encoding="utf-8"))
            files = [Path(folder, Path(file["filename"]).name) for file in state["_data_files"]]
            self._rows = pa.concat_tables(ipc.open_stream(pa.memory_map(str(file))).read_all() for file in files)
            super().__init__(folder, self._rows.schema, self._rows.num_rows)
        if not self.n_rows:
            raise GannetError(f"{folder} is empty: it has no rows")

    def read(self, columns: Sequence[str]) -> Any:
        """Return some columns; nothing is copied."""
        return self._rows.select(columns)


def is_saved(text: str) -> bool:
    """Return whether the text is the path of a folder with the two files that describe a saved data set."""
    return is_file(str(Path(text, _STATE))) and is_file(str(Path(text, _INFO)))


def holds_lists(text: str) -> bool:
    """Return whether a saved data set has a column of number lists; false if it cannot be read."""
    try:
        return any(map(is_column_of_lists, SavedTable(text).kinds.values()))
    except GannetError:
        return False
