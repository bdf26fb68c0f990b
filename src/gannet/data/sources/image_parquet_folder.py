"""Folders of Parquet files with images, such as a data set downloaded from Hugging Face's hub."""

from __future__ import annotations

import os
from pathlib import Path

from gannet.data.base import exists, reading
from gannet.data.source_kind import SourceKind
from gannet.data.sources._joined import JoinedSource, join
from gannet.data.sources.image_parquet import ImageParquet
from gannet.data.sources.parquet import image_columns, is_parquet

_INNER = "data"
_TEXTS = (".txt", ".json", ".csv", ".md")


class ImageParquetFolder(SourceKind):
    """A folder of Parquet files with an image column, in the folder itself or in its folder ``data``."""

    name = "image-parquet-folder"
    description = "a folder of Parquet files with an image column"

    def takes(self, text: str) -> bool:
        """Return whether the first Parquet file of the folder has an image column, and only texts lie beside it."""
        try:
            return exists(text) and any(map(image_columns, map(str, _files(text)[:1])))
        except OSError:
            return False

    def open(self, text: str) -> JoinedSource:
        """Open all files in the order of their names; one that cannot be read is skipped and named."""
        with reading("is not a readable folder", text):
            files = _files(text)
        return join(text, files, ImageParquet().open)


def _files(text: str) -> list[Path]:
    """Return the Parquet files of a folder, or of its one folder ``data``; none if there is more than texts beside."""
    inner = Path(text, _INNER)
    folder = inner if inner.is_dir() and _holds_only(text, (), _INNER) else Path(text)
    if not (folder.is_dir() and _holds_only(str(folder), (".parquet",))):
        return []
    return sorted(file for file in folder.iterdir() if is_parquet(str(file)) and not file.name.startswith("."))


def _holds_only(folder: str, extensions: tuple[str, ...], inner: str | None = None) -> bool:
    """Return whether a folder holds files of these kinds, texts, hidden entries and one folder alone."""
    with os.scandir(folder) as entries:
        return all(
            entry.name == inner or (entry.name.lower().endswith((*_TEXTS, *extensions)) and entry.is_file())
            for entry in entries
            if not entry.name.startswith(".")
        )
