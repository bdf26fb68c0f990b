"""Reading images, features and labeled data sets: the kinds of sources, the data sets, and the decoding of images."""

from gannet.data.base import ArraySource, ImageSource, Skipped, Subset
from gannet.data.datasets import all_datasets, get_dataset
from gannet.data.files import FolderSource
from gannet.data.images import RawImage, check_image, decode, digest, thumbnail
from gannet.data.labeled import Dataset, LabeledImages
from gannet.data.matrix import MatrixSource
from gannet.data.opening import is_matrix, open_row, open_source, read_item
from gannet.data.options import DEFAULT_EXCLUDE, ReadOptions, Sample
from gannet.data.source_kind import SourceKind

__all__ = [
    "DEFAULT_EXCLUDE",
    "ArraySource",
    "Dataset",
    "FolderSource",
    "ImageSource",
    "LabeledImages",
    "MatrixSource",
    "RawImage",
    "ReadOptions",
    "Sample",
    "Skipped",
    "SourceKind",
    "Subset",
    "all_datasets",
    "check_image",
    "decode",
    "digest",
    "get_dataset",
    "is_matrix",
    "open_row",
    "open_source",
    "read_item",
    "thumbnail",
]
