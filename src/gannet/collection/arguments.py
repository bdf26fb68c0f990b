"""Checks of arguments, and their conversion to the form that the collection file stores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids, check_ids
from gannet.errors import GannetError


def checked_ids(ids: npt.ArrayLike) -> Ids:
    """Return one or more ids as an int64 array ``(n,)``."""
    return check_ids(np.atleast_1d(np.asarray(ids)))


def checked_digests(digests: Sequence[bytes], n: int) -> list[bytes]:
    """Return ``n`` digests as a list."""
    if isinstance(digests, bytes) or len(digests) != n:
        raise GannetError(f"digests must be a list of {n}, not a {type(digests).__name__} of {len(digests)}")
    if not all(isinstance(digest, bytes) and digest for digest in digests):
        raise GannetError("a digest must be bytes and not empty, such as hashlib.sha256(data).digest()")
    return list(digests)


def encoded_paths(paths: Sequence[str], n: int) -> list[bytes]:
    """Return ``n`` paths as bytes: a file's name need not be valid UTF-8, but text in SQLite must be."""
    if isinstance(paths, str) or len(paths) != n:
        raise GannetError(f"paths must be a list of {n}, not a {type(paths).__name__} of {len(paths)}")
    try:
        return [path.encode("utf-8", "surrogateescape") for path in paths]
    except (AttributeError, UnicodeEncodeError):
        raise GannetError("a path must be a str; use str(path), or os.fsdecode(name) for bytes") from None


def decoded_path(path: bytes) -> str:
    """Return a stored path as a str in the form of `os.fsdecode`."""
    return path.decode("utf-8", "surrogateescape")
