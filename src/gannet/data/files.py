"""Image files: which names are images, how a file is read, and the source of files in a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gannet.data.base import MAX_FILE_BYTES, ImageSource, Skipped, reason
from gannet.data.formats import IMAGE_EXTENSIONS
from gannet.data.images import PartialImage
from gannet.data.urls import is_url, read_url
from gannet.errors import GannetError

TOO_LARGE = f"file above {MAX_FILE_BYTES >> 20} MB"

_CHANGED = "it changed while it was read; try again when it is complete"


class FolderSource(ImageSource):
    """Image files under one folder, as paths ``members`` that are relative to it.

    ``skipped`` and ``notes`` describe files that were left out. With ``truncated``, images that are cut off are read as
    far as they go.
    """

    def __init__(
        self,
        root: str,
        members: Sequence[str],
        skipped: Sequence[Skipped] = (),
        notes: Sequence[str] = (),
        truncated: bool = False,
    ) -> None:
        super().__init__(root, members, "/", skipped, notes)
        self._truncated = truncated

    def read(self, index: int) -> bytes:
        """Return the content of file ``index``."""
        content = read_file(self.paths[index])
        return PartialImage(content) if self._truncated else content

    def holder(self, index: int) -> str:
        """Return the path of file ``index``."""
        return self.paths[index]


def read_file(path: str) -> bytes:
    """Return the content of a file.

    The file can be at a URL. Raises a `GannetError`, whose message is the reason alone, if it cannot be read, is above
    ``MAX_FILE_BYTES``, or changed while it was read, so that the bytes may mix two contents.
    """
    if is_url(path):
        return read_url(path)
    try:
        with Path(path).open("rb") as file:
            info = os.fstat(file.fileno())
            if info.st_size > MAX_FILE_BYTES:
                raise GannetError(TOO_LARGE)
            content = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise GannetError(reason(error)) from error
    if len(content) != info.st_size or after.st_mtime_ns != info.st_mtime_ns:
        raise GannetError(_CHANGED)
    return content


def is_image_name(name: str) -> bool:
    """Return whether a file name has one of the extensions taken as images."""
    return extension(name) in IMAGE_EXTENSIONS


def extension(name: str) -> str:
    """Return the extension of a file name in lower case, with its dot; empty for a hidden file without another dot."""
    stem, _, last = name.rpartition(".")  # ten times as fast as a `Path`, which matters for a million files
    return f".{last.lower()}" if stem else ""
