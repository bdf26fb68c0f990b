"""Data: image folders, archives, official sets and matrices, read safely and by name."""

from gannet.data.base import ImageSource, Skipped, Subset
from gannet.data.files import FolderSource
from gannet.data.images import RawImage, check_image, decode, digest, thumbnail
from gannet.data.matrix import MatrixSource
from gannet.data.sources import open_row, open_source, read_item

__all__ = [
    "FolderSource",
    "ImageSource",
    "MatrixSource",
    "RawImage",
    "Skipped",
    "Subset",
    "check_image",
    "decode",
    "digest",
    "open_row",
    "open_source",
    "read_item",
    "thumbnail",
]
