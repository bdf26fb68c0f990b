"""Several sources of images below one folder as one source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gannet.data.base import ImageSource, Skipped
from gannet.data.images import RawImage
from gannet.data.sources._offsets import Offsets
from gannet.errors import GannetError

_NOTES_SHOWN = 5


class JoinedSource(ImageSource):
    """The images of several sources below a folder; an item has the path that it has in its own source."""

    def __init__(self, folder: str, parts: Sequence[ImageSource], skipped: Sequence[Skipped]) -> None:
        self._parts, self._items = parts, Offsets(map(len, parts))
        within = len(folder.rstrip("/")) + 1
        members = [path[within:] for part in parts for path in part.paths]
        notes = [f"{len(parts):,} parts: {parts[0].name} … {parts[-1].name}"]
        of_parts = [f"{part.name}: {note}" for part in parts for note in part.notes]
        notes += of_parts[:_NOTES_SHOWN]
        if len(of_parts) > _NOTES_SHOWN:
            notes.append(f"and {len(of_parts) - _NOTES_SHOWN:,} more such lines about other parts")
        super().__init__(folder, members, "/", [*skipped, *(item for part in parts for item in part.skipped)], notes)

    def read(self, index: int) -> RawImage:
        """Return the content of image ``index``."""
        part, place = self._items.find(index)
        return self._parts[part].read(place)


def join(folder: str, paths: Sequence[Path], opened: Callable[[str], ImageSource]) -> JoinedSource:
    """Return the parts at several paths as one source; those that cannot be opened are skipped and named."""
    parts: list[ImageSource] = []
    skipped: list[Skipped] = []
    for path in map(str, paths):
        try:
            parts.append(opened(path))
        except GannetError as error:
            skipped.append(Skipped(path, str(error).removeprefix(f"{path} ")))
    if not parts:
        first = "".join(f": {item.path}: {item.reason}" for item in skipped[:1])
        raise GannetError(f"no images in {folder}, no readable part{first}")
    return JoinedSource(folder, parts, skipped)
