"""Folders of image files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from gannet.data.base import is_folder, reason
from gannet.data.files import FolderSource, is_image_name
from gannet.data.listing import Listing
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.errors import GannetError


class ImageFolder(SourceKind):
    """A folder of image files, with its subfolders."""

    name = "image-folder"
    description = "a folder of images"
    items = "files"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a folder."""
        return is_folder(text)

    def open(self, text: str) -> FolderSource:
        """List the images in the folder and its subfolders, sorted by path.

        Hidden files and folders are left out. Links to folders are followed, each folder once.
        """
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> FolderSource:
        """List the images without those that match a pattern."""
        listing = Listing(options.exclude)
        within = len(text) if text.endswith(os.sep) else len(text) + 1
        files = sorted(_walk(text, within, listing))
        for item in listing.skipped:
            if item.path == text:
                raise GannetError(f"{text} {item.reason}")
        if not files:
            raise listing.no_images(text)
        members = [path[within:] for path in files]
        return FolderSource(text, members, listing.skipped, listing.notes(), options.truncated)


def _walk(root: str, within: int, listing: Listing) -> Iterator[str]:
    """Yield the image files under ``root``; paths below it begin at character ``within``."""
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            info = Path(folder).stat()
            if (info.st_dev, info.st_ino) in seen:
                listing.pass_over("folder listed by another path")
                continue
            seen.add((info.st_dev, info.st_ino))
            with os.scandir(folder) as entries:
                ordered = sorted(entries, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            listing.skip(folder, reason(error))
            continue
        for entry in ordered:
            if listing.excludes(entry.name, entry.path[within:]):
                continue
            # `is_dir` and `is_file` would hide why a link or a file could not be followed.
            try:
                mode = entry.stat().st_mode
            except OSError as error:
                if isinstance(error, PermissionError) and not os.access(folder, os.X_OK):
                    listing.skip(folder, f"cannot be entered: {error.strerror}")
                    break
                if error.errno == errno.ELOOP and not is_image_name(entry.name):
                    listing.pass_over("link to itself")
                else:
                    listing.skip(entry.path, _why_not_followed(entry.path, error))
                continue
            if stat.S_ISDIR(mode):
                folders.append(entry.path)
            elif not stat.S_ISREG(mode):
                listing.pass_over("pipe, socket or device")
            elif listing.takes(entry.name, entry.path):
                yield entry.path


def _why_not_followed(path: str, error: OSError) -> str:
    """Return the reason why an entry of a folder cannot be inspected; for a dead link, with its target."""
    try:
        return f"cannot be read: it is a link to {Path(path).readlink()}: {error.strerror}"
    except OSError:
        return reason(error)
