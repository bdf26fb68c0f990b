"""Several sources of images below one folder as one source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from gannet.data.base import ImageSource
from gannet.data.images import RawImage
from gannet.data.listing import Listing
from gannet.data.sources._offsets import Offsets
from gannet.errors import GannetError

_NOTES_SHOWN = 5


class JoinedSource(ImageSource):
    """The images of several sources below a folder; an item has the path that it has in its own source.

    ``listing`` holds the parts that were left out.
    """

    def __init__(self, folder: str, parts: Sequence[ImageSource], listing: Listing) -> None:
        self._parts, self._items = parts, Offsets(map(len, parts))
        self._part_of = {part.container: part for part in parts}
        within = len(folder.rstrip("/")) + 1
        members = [path[within:] for part in parts for path in part.paths]
        notes = [f"{len(parts):,} parts: {parts[0].name} … {parts[-1].name}", *listing.notes()]
        of_parts = [f"{part.name}: {note}" for part in parts for note in part.notes]
        notes += of_parts[:_NOTES_SHOWN]
        if len(of_parts) > _NOTES_SHOWN:
            notes.append(f"and {len(of_parts) - _NOTES_SHOWN:,} more such lines about other parts")
        skipped = [*listing.skipped, *(item for part in parts for item in part.skipped)]
        super().__init__(folder, members, "/", skipped, notes)

    def read(self, index: int) -> RawImage:
        """Return the content of image ``index``."""
        part, place = self._items.find(index)
        return self._parts[part].read(place)

    def holder(self, index: int) -> str | None:
        """Return the path of the part that holds image ``index``."""
        part, place = self._items.find(index)
        return self._parts[part].holder(place)

    def lacks(self, path: str) -> bool:
        """Return whether the part that a path begins with certainly has no item of this path."""
        starts = (path[: mark.start()] for mark in re.finditer("[!#]", path))
        return any(self._part_of[start].lacks(path) for start in starts if start in self._part_of)


def join(
    folder: str, paths: Sequence[str | Path], opened: Callable[[str], ImageSource], exclude: Sequence[str] = ()
) -> JoinedSource:
    """Return the parts at several paths as one source.

    Parts that match a pattern of ``exclude`` are counted; those that cannot be opened are skipped and named.
    """
    parts: list[ImageSource] = []
    listing = Listing(exclude)
    within = len(folder.rstrip("/")) + 1
    for path in map(str, paths):
        if listing.excludes_member(path[within:].replace(os.sep, "/")):
            continue
        try:
            parts.append(opened(path))
        except GannetError as error:
            listing.skip(path, str(error).removeprefix(f"{path} "))
    if not parts:
        first = "".join(f": {item.path}: {item.reason}" for item in listing.skipped[:1])
        left_out = "".join(f"; {note}" for note in listing.notes())
        raise GannetError(f"no images in {folder}, no readable part{first}{left_out}")
    return JoinedSource(folder, parts, listing)
