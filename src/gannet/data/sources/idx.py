"""Folders of IDX files, the format of MNIST and Fashion-MNIST: four files, plain or compressed with gzip."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import MAX_FILE_BYTES, ArraySource, has_content, is_file, reading
from gannet.data.source_kind import SourceKind
from gannet.errors import GannetError

_PREFIX = {"train": "train", "test": "t10k"}
_UINT8 = 0x08


class IdxFolder(SourceKind):
    """A folder with the four IDX files of MNIST or Fashion-MNIST."""

    name = "idx"
    description = "an IDX folder"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a folder with an IDX file of training images that is not empty."""
        path = _locate(text, "train-images-idx3-ubyte")
        return path is not None and has_content(str(path))

    def open(self, text: str) -> ArraySource:
        """Return the training images, then the test images, with their labels."""
        images = {part: _read(text, f"{prefix}-images-idx3-ubyte", 3) for part, prefix in _PREFIX.items()}
        labels = {part: _read(text, f"{prefix}-labels-idx1-ubyte", 1) for part, prefix in _PREFIX.items()}
        for part in _PREFIX:
            if len(images[part]) != len(labels[part]):
                raise GannetError(f"{text}: {len(images[part])} {part} images, but {len(labels[part])} labels")
        if images["train"].shape[1:] != images["test"].shape[1:]:
            raise GannetError(f"{text}: training and test images differ in size")
        all_labels = np.concatenate([labels["train"], labels["test"]]).astype(np.int64)
        return ArraySource(
            text,
            np.concatenate([images["train"], images["test"]]),
            {part: len(images[part]) for part in _PREFIX},
            all_labels,
            [str(label) for label in range(int(all_labels.max()) + 1)],
        )


def _locate(folder: str, name: str) -> Path | None:
    candidates = (Path(folder, name), Path(folder, f"{name}.gz"))
    return next((path for path in candidates if is_file(str(path))), None)


def _read(folder: str, name: str, ndim: int) -> NDArray[np.uint8]:
    path = _locate(folder, name)
    if path is None:
        raise GannetError(f"{folder} lacks {name}.gz; put the four IDX files in one folder")
    file = gzip.open if path.suffix == ".gz" else open
    with reading("is damaged; fetch it again", str(path)), file(path, "rb") as stream:
        header = stream.read(4 + 4 * ndim)
        zeros, kind, dimensions, *shape = struct.unpack(f">HBB{ndim}I", header)
        count = math.prod(shape)
        if (zeros, kind, dimensions) != (0, _UINT8, ndim) or not 0 < count <= MAX_FILE_BYTES:
            raise GannetError(f"{path} is not an IDX file of {ndim}-dimensional uint8 data")
        data = stream.read(count + 1)  # one byte more, so that gzip checks its checksum
    if len(data) != count:
        raise GannetError(f"{path} is shorter or longer than its header says; fetch it again")
    return np.frombuffer(data, dtype=np.uint8).reshape(shape)
