"""NumPy files of features, .npy and .npz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import reading
from gannet.data.matrix import (
    ARRAY_NAMES,
    MatrixSource,
    first_item_name,
    make_source,
    names_drawn,
    names_of,
    read_rows,
    shown,
    text_array,
)
from gannet.data.options import MATRIX_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.urls import is_url, may_be_file, open_binary
from gannet.errors import GannetError

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_ROWS_AT_ONCE = 1 << 12


class NumpyMatrix(SourceKind):
    """A NumPy file that holds a matrix."""

    name = "matrix"
    description = "a matrix (.npy, .npz)"
    items = "rows"
    options = MATRIX_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file that ends in ``.npy`` or ``.npz``."""
        return text.lower().endswith((".npy", ".npz")) and may_be_file(text)

    def open(self, text: str) -> MatrixSource:
        """Open the file; an .npy file stays on disk, memory-mapped.

        A .npz file must hold one matrix, or one named ``features``, ``embeddings`` or ``X``. An array of texts in it,
        named ``names``, ``ids``, ``paths`` or the like, names the rows.
        """
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> MatrixSource:
        """Open the file with the given array of features and the given names."""
        with reading("is not a whole NumPy file of numbers", text):
            with open_binary(text) as file:
                start = file.read(len(_NPY))
            if not start.startswith((_NPY, _ZIP)):
                raise GannetError(f"{text} is not a whole NumPy file: it does not begin as numpy.save writes it")
            try:
                return _open(text, options)
            except ValueError as error:
                if "allow_pickle" in str(error):
                    raise GannetError(
                        f"{text} holds Python objects, which are not read: save numbers as float32, and names as texts "
                        "(dtype str)"
                    ) from error
                raise


def _open(path: str, options: ReadOptions) -> MatrixSource:
    if is_url(path):
        return _open_url(path, options)
    return _from_arrays(path, np.load(path, mmap_mode="r", allow_pickle=False), options)


def _open_url(path: str, options: ReadOptions) -> MatrixSource:
    """Open a file at a URL; of an .npy file, all rows pass by once, and only those of a sample are kept."""
    with open_binary(path) as file:
        if path.lower().endswith(".npz") or options.sample is None:
            return _from_arrays(path, np.load(file, allow_pickle=False), options)
        major, _ = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(file)
        rows = options.rows(shape[0]) if len(shape) == 2 and not in_columns and not dtype.hasobject else None
        if rows is None:
            file.seek(0)
            return _from_arrays(path, np.load(file, allow_pickle=False), options)
        names = None if options.names is None else names_drawn(path, names_of(options.names), rows, shape[0])
        features = np.empty((len(rows), shape[1]), dtype)
        row_bytes = features.itemsize * shape[1]
        for start in range(0, shape[0], _ROWS_AT_ONCE):
            n = min(_ROWS_AT_ONCE, shape[0] - start)
            block = np.frombuffer(file.read(n * row_bytes), dtype).reshape(n, shape[1])
            first, last = np.searchsorted(rows, (start, start + n))
            features[first:last] = block[rows[first:last] - start]
    return make_source(path, features, names, options, drawn=rows, total=shape[0])


def _from_arrays(path: str, loaded: Any, options: ReadOptions) -> MatrixSource:
    if isinstance(loaded, np.ndarray):
        if options.features:
            raise GannetError(f"{path} holds one array: leave --features out")
        names = None if options.names is None else names_of(options.names)
        return _sampled(path, loaded, names, options)
    with loaded:
        held = loaded.files
        names_array = options.names if options.names in held else None
        if options.names is None:
            names_array = first_item_name(held if len(held) > 1 else ())
        array_name = _array_name(path, [name for name in held if name != names_array], options.features)
        array = loaded[array_name]
        if not isinstance(array, np.ndarray):  # NumPy returns the bytes of a member that is no array
            raise GannetError(f"{path} is damaged: {array_name} is not an array")
        names = None if names_array is None else text_array(f"{path}: {names_array}", loaded[names_array])
    if options.names is not None and names is None:
        names = names_of(options.names, held)
    left = [name for name in held if name not in (array_name, names_array)]
    note = f"features: array {array_name}" + (f"; names: array {names_array}" if names_array else "")
    notes = [note + (f"; not taken: {shown(left)}" if left else "")]
    return _sampled(path, array, names, options, notes if len(held) > 1 else ())


def _sampled(
    path: str, features: NDArray[Any], names: Sequence[Any] | None, options: ReadOptions, notes: Sequence[str] = ()
) -> MatrixSource:
    """Return the matrix, or the rows of the sample that the options ask for."""
    rows = options.rows(len(features)) if features.ndim == 2 else None
    if rows is None:
        return make_source(path, features, names, options, notes)
    total = len(features)
    names = None if names is None else names_drawn(path, names, rows, total)
    return make_source(path, read_rows(features, rows), names, options, notes, drawn=rows, total=total)


def _array_name(path: str, names: Sequence[str], chosen: Sequence[str]) -> str:
    """Return the array of features among those that hold no names."""
    if chosen:
        if len(chosen) > 1 or chosen[0] not in names:
            raise GannetError(f"{path} holds {', '.join(names)}: name one of these with --features")
        return chosen[0]
    if len(names) == 1:
        return names[0]
    for name in ARRAY_NAMES:
        if name in names:
            return name
    raise GannetError(
        f"{path} holds {', '.join(names) or 'no arrays'}; name the matrix one of {', '.join(ARRAY_NAMES)}, or choose "
        "it with --features"
    )
