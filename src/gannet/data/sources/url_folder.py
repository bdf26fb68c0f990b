"""Folders at URLs, as on object stores."""

from __future__ import annotations

from gannet.data.base import MAX_FILE_BYTES, ImageSource
from gannet.data.files import TOO_LARGE, FolderSource, is_image_name
from gannet.data.listing import Listing
from gannet.data.options import IMAGE_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._joined import join
from gannet.data.sources.image_parquet import ImageParquet
from gannet.data.sources.tar_folder import open_shard
from gannet.data.urls import is_url, list_url


class UrlFolder(SourceKind):
    """A folder of images at a URL, with its subfolders, or of archives or Parquet files of images."""

    name = "url-folder"
    description = "a folder of images at a URL (s3://, gs://, ...)"
    items = "files"
    options = IMAGE_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is a URL; other kinds have been asked about those of files."""
        return is_url(text)

    def open(self, text: str) -> ImageSource:
        """List the images below the URL, sorted by path; if there are none, those of the archives or Parquet files."""
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> ImageSource:
        """List the images without those that match a pattern."""
        root, found = text.rstrip("/"), list_url(text)
        if not any(is_image_name(member) for member, _ in found):
            one = ReadOptions(truncated=options.truncated)
            tars, tables = (
                [f"{root}/{member}" for member, _ in found if member.lower().endswith(ending)]
                for ending in (".tar", ".parquet")
            )
            if tars:  # Parquet files beside them are metadata
                return join(root, tars, lambda part: open_shard(part, options), options.exclude)
            if tables:
                return join(root, tables, lambda part: ImageParquet().open_with(part, one), options.exclude)
        listing, members = Listing(options.exclude), []
        for member, size in found:
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
