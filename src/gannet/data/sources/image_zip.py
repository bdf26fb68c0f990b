"""Zip archives of image files, read in place."""

from __future__ import annotations

import zipfile

from gannet.data.base import MAX_FILE_BYTES, ImageSource, reading
from gannet.data.files import TOO_LARGE
from gannet.data.images import PartialImage
from gannet.data.listing import Listing
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.urls import is_url, may_be_file, open_binary

_ENCRYPTED = 0x1


class ZipSource(ImageSource):
    """Image files in a zip archive, given by its absolute path.

    Raises a `GannetError` if it is not a zip archive, or holds no image that can be read without a password.
    """

    def __init__(self, path: str, options: ReadOptions = ReadOptions()) -> None:  # noqa: B008
        self._truncated = options.truncated
        self._infos: list[zipfile.ZipInfo] = []
        listing = Listing(options.exclude)
        with reading("is not a readable zip archive", path):
            self._archive = zipfile.ZipFile(open_binary(path) if is_url(path) else path)
            # Of two members with one name the last counts, as in zip tools.
            members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}
        for name, info in sorted(members.items()):
            if listing.excludes_member(name) or not listing.takes(name.rpartition("/")[2], f"{path}!{name}"):
                continue
            if info.flag_bits & _ENCRYPTED:
                listing.skip(f"{path}!{name}", "encrypted; extract it with its password first")
            elif info.file_size > MAX_FILE_BYTES:
                listing.skip(f"{path}!{name}", TOO_LARGE)
            else:
                self._infos.append(info)
        if not self._infos:
            raise listing.no_images(path)
        super().__init__(path, [info.filename for info in self._infos], "!", listing.skipped, listing.notes())

    def read(self, index: int) -> bytes:
        """Return the content of member ``index``."""
        with reading("damaged zip member"):
            content = self._archive.read(self._infos[index])
        return PartialImage(content) if self._truncated else content

    def lacks(self, path: str) -> bool:
        """Return whether the path is that of a member which the archive does not hold."""
        start = f"{self.container}!"
        return path.startswith(start) and path.removeprefix(start) not in self._archive.NameToInfo


class ImageZip(SourceKind):
    """A zip archive of images."""

    name = "image-zip"
    description = "a .zip or .cbz of images"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file that ends in ``.zip`` or ``.cbz``."""
        return text.lower().endswith((".zip", ".cbz")) and may_be_file(text)

    def open(self, text: str) -> ZipSource:
        """List the images in the archive."""
        return ZipSource(text)

    def open_with(self, text: str, options: ReadOptions) -> ZipSource:
        """List the images without those that match a pattern."""
        return ZipSource(text, options)
