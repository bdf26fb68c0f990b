"""Folders of image files."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gannet.data.base import Skipped, exists, reason
from gannet.data.files import UNREAD, UNREAD_EXTENSIONS, FolderSource, extension, is_image_name, no_images
from gannet.data.source_kind import SourceKind


class ImageFolder(SourceKind):
    """A folder of image files, with its subfolders."""

    name = "image-folder"
    description = "a folder of images"
    items = "files"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a folder."""
        return exists(text) and Path(text).is_dir()

    def open(self, text: str) -> FolderSource:
        """List the images in the folder and its subfolders, sorted by path.

        Hidden files and folders are left out. Links to folders are followed, each folder once.
        """
        skipped: list[Skipped] = []
        files = sorted(_walk(text, skipped))
        if not files:
            raise no_images(text, skipped)
        within = len(text) if text.endswith(os.sep) else len(text) + 1
        return FolderSource(text, [path[within:] for path in files], skipped)


def _walk(root: str, skipped: list[Skipped]) -> Iterator[str]:
    """Yield the image files under ``root``. What cannot be listed is added to ``skipped``."""
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            info = Path(folder).stat()
            if (info.st_dev, info.st_ino) in seen:
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            skipped.append(Skipped(folder, reason(error)))
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            # `is_dir` and `is_file` would hide why a link or a file could not be followed.
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                if is_image_name(entry.name):
                    skipped.append(Skipped(entry.path, reason(error)))
                continue
            if stat.S_ISDIR(mode):
                folders.append(entry.path)
            elif stat.S_ISREG(mode) and is_image_name(entry.name):
                yield entry.path
            elif extension(entry.name) in UNREAD_EXTENSIONS:
                skipped.append(Skipped(entry.path, UNREAD))
