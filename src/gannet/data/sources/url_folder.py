"""Folders at URLs, as on object stores."""

from __future__ import annotations

from gannet.data.base import MAX_FILE_BYTES, ImageSource
from gannet.data.files import TOO_LARGE, FolderSource
from gannet.data.listing import Listing
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.urls import is_url, list_url


class UrlFolder(SourceKind):
    """A folder of images at a URL, with its subfolders."""

    name = "url-folder"
    description = "a folder of images at a URL (s3://, gs://, ...)"
    items = "files"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is a URL; other kinds have been asked about those of files."""
        return is_url(text)

    def open(self, text: str) -> ImageSource:
        """List the images below the URL, sorted by path."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> ImageSource:
        """List the images without those that match a pattern."""
        listing, members, root = Listing(options.exclude), [], text.rstrip("/")
        for member, size in list_url(text):
            path = f"{root}/{member}"
            if listing.excludes_member(member) or not listing.takes(member.rpartition("/")[2], path):
                continue
            if size is not None and size > MAX_FILE_BYTES:
                listing.skip(path, TOO_LARGE)
            else:
                members.append(member)
        if not members:
            raise listing.no_images(text)
        return FolderSource(root, members, listing.skipped, listing.notes(), options.truncated)
