"""NumPy files of features, .npy and .npz."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import is_file, reading
from gannet.data.matrix import ARRAY_NAMES, MatrixSource
from gannet.data.source_kind import SourceKind
from gannet.errors import GannetError

_NPY, _ZIP = b"\x93NUMPY", b"PK"


class NumpyMatrix(SourceKind):
    """A NumPy file that holds a matrix."""

    name = "matrix"
    description = "a matrix (.npy, .npz)"
    items = "rows"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file that ends in ``.npy`` or ``.npz``."""
        return text.lower().endswith((".npy", ".npz")) and is_file(text)

    def open(self, text: str) -> MatrixSource:
        """Open the file; an .npy file stays on disk, memory-mapped.

        A .npz file must hold one array, or one named ``features``, ``embeddings`` or ``X``.
        """
        with reading("is not a whole NumPy file of numbers", text):
            with Path(text).open("rb") as file:
                start = file.read(len(_NPY))
            if not start.startswith((_NPY, _ZIP)):
                raise GannetError(f"{text} is not a whole NumPy file: it does not begin as numpy.save writes it")
            try:
                return MatrixSource(text, _load(text))
            except ValueError as error:
                if "allow_pickle" in str(error):
                    raise GannetError(f"{text} holds Python objects, which are not read: save it as float32") from error
                raise


def _load(path: str) -> NDArray[Any]:
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded:
        name = _array_name(path, loaded.files)
        array = loaded[name]
    if not isinstance(array, np.ndarray):  # NumPy returns the bytes of a member that is no array
        raise GannetError(f"{path} is damaged: {name} is not an array")
    return array


def _array_name(path: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    for name in ARRAY_NAMES:
        if name in names:
            return name
    raise GannetError(
        f"{path} holds {', '.join(names) or 'no arrays'}; name the matrix one of {', '.join(ARRAY_NAMES)}"
    )
