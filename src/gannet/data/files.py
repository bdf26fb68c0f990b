"""Image files in folders and in zip archives."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gannet.data.base import MAX_FILE_BYTES, ImageSource, Skipped, reason
from gannet.errors import GannetError

#: File name extensions taken as images, in any case.
IMAGE_EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})

# Common picture formats that Pillow does not read everywhere: worth a line, not silence.
_UNREAD_EXTENSIONS = frozenset({".heic", ".heif", ".avif", ".jxl", ".svg"})
_UNREAD = "this picture format is not read; convert it to JPEG or PNG"
_TOO_LARGE = f"file above {MAX_FILE_BYTES >> 20} MB"
_CHANGED = "it changed while it was read; try again when it is complete"
_ENCRYPTED = 0x1


class FolderSource(ImageSource):
    """Image files under one folder."""

    def __init__(self, root: str, members: Sequence[str], skipped: Sequence[Skipped] = ()) -> None:
        super().__init__(root, members, "/", skipped)

    @classmethod
    def walk(cls, root: str) -> FolderSource:
        """List the images under ``root``, subfolders included, sorted by name.

        Hidden files and folders are passed over. Links to folders are followed, each folder once.

        Raises:
            GannetError: there is no image, or ``root`` itself cannot be listed.
        """
        skipped: list[Skipped] = []
        files = sorted(_walk(root, skipped))
        if not files:
            _raise_no_images(root, skipped)
        within = len(root) if root.endswith(os.sep) else len(root) + 1
        return cls(root, [path[within:] for path in files], skipped)

    def read(self, index: int) -> bytes:
        """Return the bytes of file ``index``."""
        return read_file(self.paths[index])


class ZipSource(ImageSource):
    """Image files in a zip archive, read in place.

    Raises:
        GannetError: not a zip archive, encrypted, or without images.
    """

    def __init__(self, path: str) -> None:
        try:
            self._archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise GannetError(f"{path} is not a readable zip archive: {error}") from error
        except OSError as error:
            raise GannetError(f"{path} {reason(error)}") from error
        self._infos: list[zipfile.ZipInfo] = []
        skipped: list[Skipped] = []
        # As in zip tools, of two members of one name the last counts.
        members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}
        for name, info in sorted(members.items()):
            if _is_hidden(name):
                continue
            why = _zip_refusal(info)
            if why:
                skipped.append(Skipped(f"{path}!{name}", why))
            elif _extension(name) in IMAGE_EXTENSIONS:
                self._infos.append(info)
        if not self._infos:
            _raise_no_images(path, skipped)
        super().__init__(path, [info.filename for info in self._infos], "!", skipped)

    def read(self, index: int) -> bytes:
        """Return the bytes of member ``index``."""
        try:
            return self._archive.read(self._infos[index])
        except OSError as error:
            raise GannetError(reason(error)) from error
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise GannetError(f"damaged zip member: {error}") from error


def read_file(path: str) -> bytes:
    """Return a file's bytes.

    Raises:
        GannetError: it cannot be read, is above ``MAX_FILE_BYTES``, or changed meanwhile, so that what was read may be
            half of one content and half of another; the message is the reason alone.
    """
    try:
        with Path(path).open("rb") as file:
            info = os.fstat(file.fileno())
            if info.st_size > MAX_FILE_BYTES:
                raise GannetError(_TOO_LARGE)
            content = file.read()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise GannetError(reason(error)) from error
    if len(content) != info.st_size or after.st_mtime_ns != info.st_mtime_ns:
        raise GannetError(_CHANGED)
    return content


def is_image_name(name: str) -> bool:
    """Tell whether a file name has one of the extensions taken as images."""
    return _extension(name) in IMAGE_EXTENSIONS


def _extension(name: str) -> str:
    stem, _, extension = name.rpartition(".")  # a `Path` takes ten times as long, which a million files show
    return f".{extension.lower()}" if stem else ""


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in member.split("/"))


def _zip_refusal(info: zipfile.ZipInfo) -> str | None:
    """Return why a member is left out though it is a picture; None for the rest."""
    extension = _extension(info.filename)
    if extension in _UNREAD_EXTENSIONS:
        return _UNREAD
    if extension not in IMAGE_EXTENSIONS:
        return None
    if info.flag_bits & _ENCRYPTED:
        return "encrypted; extract it with its password first"
    return _TOO_LARGE if info.file_size > MAX_FILE_BYTES else None


def _walk(root: str, skipped: list[Skipped]) -> Iterator[str]:
    """Yield image files under ``root``; what cannot be listed is added to ``skipped``."""
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
            # A plain `is_dir` or `is_file` hides why a link or a file could not be followed.
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
            elif _extension(entry.name) in _UNREAD_EXTENSIONS:
                skipped.append(Skipped(entry.path, _UNREAD))


def _raise_no_images(where: str, skipped: Sequence[Skipped]) -> None:
    looked_for = " ".join(sorted(IMAGE_EXTENSIONS))
    why = f"; {len(skipped)} left out, the first: {skipped[0].path}: {skipped[0].reason}" if skipped else ""
    raise GannetError(f"no images in {where}: looked for {looked_for}{why}")
