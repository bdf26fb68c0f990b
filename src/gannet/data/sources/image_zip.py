"""Zip archives of image files, read in place."""

from __future__ import annotations

import zipfile

from gannet.data.base import MAX_FILE_BYTES, ImageSource, Skipped, is_file, reading
from gannet.data.files import IMAGE_EXTENSIONS, TOO_LARGE, UNREAD, UNREAD_EXTENSIONS, extension, no_images
from gannet.data.source_kind import SourceKind

_ENCRYPTED = 0x1


class ZipSource(ImageSource):
    """Image files in a zip archive.

    Parameters
    ----------
    path : str
        Absolute path of the archive.

    Raises
    ------
    GannetError
        If it is not a zip archive, or holds no image that can be read without a password.
    """

    def __init__(self, path: str) -> None:
        with reading("is not a readable zip archive", path):
            self._archive = zipfile.ZipFile(path)
        self._infos: list[zipfile.ZipInfo] = []
        skipped: list[Skipped] = []
        # Of two members with one name the last counts, as in zip tools.
        members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}
        for name, info in sorted(members.items()):
            if _is_hidden(name):
                continue
            why = _refusal(info)
            if why:
                skipped.append(Skipped(f"{path}!{name}", why))
            elif extension(name) in IMAGE_EXTENSIONS:
                self._infos.append(info)
        if not self._infos:
            raise no_images(path, skipped)
        super().__init__(path, [info.filename for info in self._infos], "!", skipped)

    def read(self, index: int) -> bytes:
        """Return the content of member ``index``."""
        with reading("damaged zip member"):
            return self._archive.read(self._infos[index])


class ImageZip(SourceKind):
    """A zip archive of images."""

    name = "image-zip"
    description = "a .zip of images"

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file that ends in ``.zip``."""
        return text.lower().endswith(".zip") and is_file(text)

    def open(self, text: str) -> ZipSource:
        """List the images in the archive."""
        return ZipSource(text)


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in member.split("/"))


def _refusal(info: zipfile.ZipInfo) -> str | None:
    """Return why an image is left out; None for images that are read and for other members."""
    kind = extension(info.filename)
    if kind in UNREAD_EXTENSIONS:
        return UNREAD
    if kind not in IMAGE_EXTENSIONS:
        return None
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; extract it with its password first"
    return TOO_LARGE if info.file_size > MAX_FILE_BYTES else None
