"""NumPy files of features, .npy and .npz."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from gannet.data.base import is_file, reason
from gannet.data.matrix import ARRAY_NAMES, MatrixSource, first_line
from gannet.data.source_kind import SourceKind
from gannet.errors import GannetError


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
        try:
            loaded = np.load(text, mmap_mode="r", allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return MatrixSource(text, loaded)
            with loaded:
                return MatrixSource(text, loaded[_array_name(text, loaded.files)])
        except GannetError:
            raise
        except (ValueError, EOFError, SyntaxError, NotImplementedError, MemoryError) as error:
            raise GannetError(f"{text} is not a whole NumPy file of numbers: {first_line(error)}") from error
        except (zipfile.BadZipFile, zlib.error) as error:
            raise GannetError(f"{text} is a damaged .npz file: {first_line(error)}") from error
        except OSError as error:
            raise GannetError(f"{text} {reason(error)}") from error


def _array_name(path: str, names: Sequence[str]) -> str:
    if len(names) == 1:
        return names[0]
    for name in ARRAY_NAMES:
        if name in names:
            return name
    raise GannetError(
        f"{path} holds {', '.join(names) or 'no arrays'}; name the matrix one of {', '.join(ARRAY_NAMES)}"
    )
