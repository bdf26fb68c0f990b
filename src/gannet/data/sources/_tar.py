"""The regular files of a tar archive, in time bounded by the bytes that are there."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator


def regular_files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the regular files of an archive that was opened with seeking.

    Reading a tar stream without seeking would read a member of any declared size to its end, bytes or not. Raises a
    `tarfile.TarError` if the archive is damaged, or a member declares a size that leads backwards.
    """
    last = -1
    for member in archive:
        if member.offset <= last or member.size < 0:
            raise tarfile.ReadError("a member declares a negative size")
        last = member.offset
        if member.isreg() and not member.issparse():
            yield member
