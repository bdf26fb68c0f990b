"""Helpers for arrays: digests, rows at unit length, and files of arrays in the cache directory."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.support.atomic import replace_file

log = logging.getLogger("gannet")


def unit_rows(rows: NDArray[Any]) -> NDArray[Any]:
    """Return vectors ``(..., d)`` at unit Euclidean length, in their own precision; zero vectors stay zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    unit: NDArray[Any] = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def update_digest(total: Any, arrays: Mapping[str, NDArray[Any]], label: str) -> None:
    """Add named arrays, in the order of their names, to a hash of `hashlib`.

    ``label`` is the format of a text that is added before the bytes of each array: ``{0}`` is the name of the array,
    ``{1}`` its dtype and ``{2}`` its shape.
    """
    for name in sorted(arrays):
        array = np.asarray(arrays[name], order="C")
        total.update(label.format(name, array.dtype.str, array.shape).encode())
        total.update(array.reshape(-1).view(np.uint8).data)


def array_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 of named arrays in hexadecimal; it depends on names, dtypes, shapes and values."""
    total = hashlib.sha256()
    update_digest(total, arrays, "{0}\0{1}\0{2}\0")
    return total.hexdigest()


def load_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays written by `save_arrays`, or None if the file is absent or damaged."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = (file.metadata() or {}).get("digest")
    except Exception:  # a damaged file can fail in any way
        return None
    return arrays if array_digest(arrays) == expected else None


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to a safetensors file in one step; log a warning if the file cannot be written."""
    from safetensors.numpy import save

    # safetensors writes the memory of an array unchanged, so the arrays must be in C order.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, save(arrays, metadata={"digest": array_digest(arrays)}))
    except OSError as error:
        log.warning("could not write the cache file %s (%s); continuing without it", path, error.strerror)
