"""Folders of tar archives of images: the shards that webdataset and img2dataset write."""

from __future__ import annotations

import os
from pathlib import Path

from gannet.data.base import is_folder, reading
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._joined import JoinedSource, join
from gannet.data.sources.image_tar import ImageTar, TarSource
from gannet.errors import GannetError

_BESIDE = (".parquet", ".json", ".txt", ".csv", ".md")


class TarFolder(SourceKind):
    """A folder of tar archives of images, without images or other folders beside them."""

    name = "tar-folder"
    description = "a folder of .tar files of images"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of such a folder. The first file of another kind decides."""
        if not is_folder(text):
            return False
        found = False
        try:
            with os.scandir(text) as entries:
                for entry in entries:
                    name = entry.name.lower()
                    if name.startswith("."):
                        continue
                    is_shard = name.endswith(".tar") and entry.is_file()
                    if not is_shard and not name.endswith(_BESIDE):
                        return False
                    found = found or is_shard
        except OSError:
            return False
        return found

    def open(self, text: str) -> JoinedSource:
        """List the images of all archives in the order of their names."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> JoinedSource:
        """List the images without those that match a pattern; an archive that cannot be read is skipped and named."""
        with reading("is not a readable folder", text):
            files = sorted(file for file in Path(text).iterdir() if _is_shard(file))
        return join(text, files, lambda part: _opened(part, options))


def _opened(part: str, options: ReadOptions) -> TarSource:
    shard = ImageTar().open_with(part, options)
    if not isinstance(shard, TarSource):
        raise GannetError("it is an official data set, which is read alone")
    return shard


def _is_shard(file: Path) -> bool:
    return file.name.lower().endswith(".tar") and not file.name.startswith(".") and file.is_file()
