"""Folders of Parquet files with images, such as a data set downloaded from Hugging Face's hub."""

from __future__ import annotations

from pathlib import Path

from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._folder import parts_in
from gannet.data.sources._joined import JoinedSource, join
from gannet.data.sources.image_parquet import ImageParquet
from gannet.data.sources.parquet import image_columns

_INNER = "data"


class ImageParquetFolder(SourceKind):
    """A folder of Parquet files with an image column, in the folder itself or in its folder ``data``."""

    name = "image-parquet-folder"
    description = "a folder of Parquet files with an image column"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the first Parquet file of the folder has an image column, and only texts lie beside it."""
        return any(image_columns(str(file)) for file in _files(text)[:1])

    def open(self, text: str) -> JoinedSource:
        """Open all files in the order of their names; one that cannot be read is skipped and named."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> JoinedSource:
        """Open all files whose names match no pattern."""
        one = ReadOptions(truncated=options.truncated)
        return join(text, _files(text), lambda part: ImageParquet().open_with(part, one), options.exclude)


def _files(text: str) -> list[Path]:
    """Return the Parquet files of a folder, or of its one folder ``data``; none if there is more than texts beside."""
    parts = parts_in(text, (".parquet",))
    if parts is None and parts_in(text, (), inner=_INNER) is not None:
        parts = parts_in(str(Path(text, _INNER)), (".parquet",))
    return parts or []
