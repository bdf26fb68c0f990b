"""Folders that ``datasets.DatasetDict.save_to_disk`` writes: a saved data set for each split."""

from __future__ import annotations

import json
from pathlib import Path

from gannet.data.base import is_file, reading
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._joined import JoinedSource, join
from gannet.data.sources._saved import holds_lists, is_saved
from gannet.data.sources.saved_dataset import SavedDataset
from gannet.errors import GannetError

_SPLITS = "dataset_dict.json"


class SavedSplits(SourceKind):
    """A folder of saved data sets, one for each split."""

    name = "saved-splits"
    description = "a folder of DatasetDict.save_to_disk"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a folder with the file that lists the splits."""
        return is_file(str(Path(text, _SPLITS)))

    def open(self, text: str) -> JoinedSource:
        """Open all splits, in the order in which they are listed."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> JoinedSource:
        """Open all splits whose names match no pattern."""
        with reading("is not a readable DatasetDict", text):
            splits = json.loads(Path(text, _SPLITS).read_text(encoding="utf-8"))["splits"]
            folders = [Path(text, Path(split).name) for split in splits]
        if any(is_saved(str(folder)) and holds_lists(str(folder)) for folder in folders):
            raise GannetError(f"{text} holds splits of embeddings, which are read one at a time: name {folders[0]}")
        one = ReadOptions(truncated=options.truncated)
        return join(text, folders, lambda part: SavedDataset().open_with(part, one), options.exclude)
