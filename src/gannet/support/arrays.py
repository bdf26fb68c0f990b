"""Arrays kept in the cache directory between runs: written in one step, checked when read."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger("gannet")


def array_digest(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return the SHA-256 (hex) of named arrays: names, dtypes, shapes and values, whatever their order."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        total.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def load_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays written by :func:`save_arrays`, or None where the file is absent or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            expected = (file.metadata() or {}).get("digest")
    except (OSError, SafetensorError):
        return None
    return arrays if array_digest(arrays) == expected else None


def save_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to a safetensors file in one step; a cache that cannot be written is only logged."""
    from safetensors.numpy import save

    # safetensors writes an array's memory as it lies, which is wrong for one that is not in C order.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(save(arrays, metadata={"digest": array_digest(arrays)}))
        Path(temporary).replace(path)
    except OSError as error:
        log.warning("could not write the cache file %s (%s); going on without it", path, error.strerror)
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
