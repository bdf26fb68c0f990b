"""Single image files."""

from __future__ import annotations

import os

from gannet.data.files import FolderSource, is_image_name
from gannet.data.options import ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.urls import may_be_file


class ImageFile(SourceKind):
    """One image file."""

    name = "image-file"
    description = "an image file"
    items = "files"
    options = frozenset({"truncated"})

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file with an extension of images."""
        return is_image_name(text) and may_be_file(text)

    def open(self, text: str) -> FolderSource:
        """Return the file as the only item of its folder."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> FolderSource:
        """Return the file, which may be cut off if the options say so."""
        folder, name = os.path.split(text)
        return FolderSource(folder, [name], truncated=options.truncated)
