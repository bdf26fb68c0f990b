"""Folders of tar archives of images: the shards that webdataset and img2dataset write."""

from __future__ import annotations

from pathlib import Path

from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._folder import TEXTS, parts_in
from gannet.data.sources._joined import JoinedSource, join
from gannet.data.sources.image_tar import ImageTar, TarSource
from gannet.errors import GannetError

# The metadata of img2dataset, and indexes of shards.
_BESIDE = (*TEXTS, ".parquet", ".idx")
# The folder that img2dataset leaves behind if it is interrupted.
_TEMPORARY = "_tmp"


class TarFolder(SourceKind):
    """A folder of tar archives of images, without images or other folders beside them."""

    name = "tar-folder"
    description = "a folder of .tar files of images"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of such a folder. The first file of another kind decides."""
        return bool(_shards(text))

    def open(self, text: str) -> JoinedSource:
        """List the images of all archives in the order of their names."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> JoinedSource:
        """List the images without those that match a pattern; an archive that cannot be read is skipped and named."""
        return join(text, _shards(text), lambda part: open_shard(part, options), options.exclude)


def open_shard(part: str, options: ReadOptions) -> TarSource:
    """Open one archive; raise a `GannetError` if it is an official data set."""
    shard = ImageTar().open_with(part, options)
    if not isinstance(shard, TarSource):
        raise GannetError("it is an official data set, which is read alone")
    return shard


def _shards(folder: str) -> list[Path]:
    return parts_in(folder, (".tar",), _BESIDE, _TEMPORARY) or []
