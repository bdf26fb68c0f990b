"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from gannet.errors import GannetError


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name in the folder of ``path``, from which a file can be renamed to ``path``."""
    return path.with_name(f".{secrets.token_hex(8)}.tmp")


def replace_file(path: Path, data: bytes) -> None:
    """Replace the contents of the file at ``path`` in one step; raise an `OSError` if it cannot be written."""
    path = Path(os.path.realpath(path))  # unlike `Path.resolve`, it accepts a link to itself
    temporary = temporary_beside(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Do what `replace_file` does, but raise a `GannetError` if the file cannot be written."""
    try:
        replace_file(path, data)
    except OSError as error:
        raise GannetError(f"cannot write {os.path.realpath(path)}: {error.strerror}") from None
