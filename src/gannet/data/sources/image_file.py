"""Single image files."""

from __future__ import annotations

from pathlib import Path

from gannet.data.base import is_file
from gannet.data.files import FolderSource, is_image_name
from gannet.data.options import ReadOptions
from gannet.data.source_kind import SourceKind


class ImageFile(SourceKind):
    """One image file."""

    name = "image-file"
    description = "an image file"
    items = "files"
    options = frozenset({"truncated"})

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file with an extension of images."""
        return is_image_name(text) and is_file(text)

    def open(self, text: str) -> FolderSource:
        """Return the file as the only item of its folder."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> FolderSource:
        """Return the file, which may be cut off if the options say so."""
        return FolderSource(str(Path(text).parent), [Path(text).name], truncated=options.truncated)
