"""Tar archives of image files, such as the shards of webdataset and img2dataset, read in place."""

from __future__ import annotations

import os
import tarfile
from functools import cached_property

from gannet.data.base import MAX_FILE_BYTES, ArraySource, ImageSource, reading
from gannet.data.files import TOO_LARGE
from gannet.data.images import PartialImage
from gannet.data.listing import Listing
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._tar import regular_files
from gannet.data.sources.cifar10_batches import Cifar10Batches, is_batch
from gannet.data.urls import may_be_file, open_binary, read_range
from gannet.errors import GannetError


class TarSource(ImageSource):
    """Image files in a tar archive that is not compressed.

    ``members`` are the start and the length of each image's content, by name; ``listing`` holds the files left out.
    With ``truncated``, images that are cut off are read as far as they go.
    """

    def __init__(self, path: str, members: dict[str, tuple[int, int]], listing: Listing, truncated: bool) -> None:
        super().__init__(path, sorted(members), "!", listing.skipped, listing.notes())
        self._places = [members[name] for name in self.members]
        self._truncated = truncated

    def read(self, index: int) -> bytes:
        """Return the content of member ``index``."""
        start, length = self._places[index]
        with reading("damaged tar member"):
            content = read_range(self.container, start, length)
        if len(content) < length:
            raise GannetError("damaged tar member: the archive ends within it")
        return PartialImage(content) if self._truncated else content

    def lacks(self, path: str) -> bool:
        """Return whether the path is that of a member which the whole archive does not hold."""
        start = f"{self.container}!"
        return path.startswith(start) and self._names is not None and path.removeprefix(start) not in self._names

    @cached_property
    def _names(self) -> frozenset[str] | None:
        """The names of all members; None if the archive cannot be read up to the block that ends it."""
        try:
            with reading("damaged tar archive"), tarfile.open(self.container, "r:") as archive:
                names = frozenset(member.name for member in regular_files(archive))
                end = read_range(self.container, archive.offset, tarfile.BLOCKSIZE)
                return names if end == bytes(tarfile.BLOCKSIZE) else None
        except GannetError:
            return None


class ImageTar(SourceKind):
    """A tar archive of images."""

    name = "image-tar"
    description = "a .tar of images"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a file that ends in ``.tar``."""
        return text.lower().endswith(".tar") and may_be_file(text)

    def open(self, text: str) -> TarSource | ArraySource:
        """List the images in the archive, or open it as the official CIFAR-10 if it holds that."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> TarSource | ArraySource:
        """List the images without those that match a pattern."""
        listing = Listing(options.exclude)
        places: dict[str, tuple[int, int]] = {}
        with (
            reading("is not a readable tar archive", text),
            open_binary(text) as file,
            tarfile.open(fileobj=file, mode="r:") as archive,
        ):
            end = file.seek(0, os.SEEK_END)
            file.seek(0)
            for member in regular_files(archive):
                name = member.name
                if is_batch(name):
                    return Cifar10Batches().open(text)
                path = f"{text}!{name}"
                if listing.excludes_member(name) or not listing.takes(name.rpartition("/")[2], path):
                    continue
                if member.offset_data + member.size > end:
                    listing.skip(path, "damaged tar member: the archive ends within it")
                elif member.size > MAX_FILE_BYTES:
                    listing.skip(path, TOO_LARGE)
                else:
                    places[name] = (member.offset_data, member.size)  # of two members with one name the last counts
        if not places:
            raise listing.no_images(text)
        return TarSource(text, places, listing, options.truncated)
