"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from gannet.errors import GannetError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file at ``path`` by ``data`` at once; raise a `GannetError` where it cannot be written."""
    path = Path(os.path.realpath(path))  # unlike `Path.resolve`, it takes a link to itself
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise GannetError(f"cannot write {path}: {error.strerror}") from None
