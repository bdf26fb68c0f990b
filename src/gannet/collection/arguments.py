"""What people pass to a collection, checked and brought to the form in which it is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError

Ids = npt.NDArray[np.int64]


def checked_ids(ids: npt.ArrayLike) -> Ids:
    """Return ids as an int64 array ``(n,)``."""
    array = np.atleast_1d(np.asarray(ids))
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise GannetError(f"ids must be whole numbers of shape (n,), not {array.dtype} of {array.shape}")
    if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
        raise GannetError(f"there is no id {array.max()}: ids end at {np.iinfo(np.int64).max}")
    return array.astype(np.int64)


def checked_digests(digests: Sequence[bytes], n: int) -> list[bytes]:
    """Return ``n`` digests as a list."""
    if isinstance(digests, bytes) or len(digests) != n:
        raise GannetError(f"digests must be a list of {n}, not a {type(digests).__name__} of {len(digests)}")
    if not all(isinstance(digest, bytes) and digest for digest in digests):
        raise GannetError("a digest must be bytes and not empty, such as hashlib.sha256(data).digest()")
    return list(digests)


def encoded_paths(paths: Sequence[str], n: int) -> list[bytes]:
    """Return ``n`` paths as bytes: a file's name need not be valid UTF-8, and SQLite's text must be."""
    if isinstance(paths, str) or len(paths) != n:
        raise GannetError(f"paths must be a list of {n}, not a {type(paths).__name__} of {len(paths)}")
    try:
        return [path.encode("utf-8", "surrogateescape") for path in paths]
    except (AttributeError, UnicodeEncodeError):
        raise GannetError("a path must be a str; use str(path), or os.fsdecode(name) for bytes") from None


def decoded_path(path: bytes) -> str:
    """Return a stored path as the operating system gives names."""
    return path.decode("utf-8", "surrogateescape")
