"""Pictures on pages: thumbnails that are embedded in the HTML, and queries with the pictures of their neighbors."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from PIL import Image

from gannet.data import read_item, thumbnail
from gannet.errors import GannetError

#: Longer side of thumbnails in pixels: twice the size at which pages show them, for high-resolution screens.
PICTURE_SIDE = 288

#: Pictures embedded in one page take up to about this many bytes; more would slow browsers and mail programs down.
PAGE_BYTES = 32 << 20

# Pictures up to this side are enlarged to crisp pixels instead of a blur.
_TINY = 64


@dataclass(frozen=True)
class Picture:
    """A picture as the templates show it; if ``uri`` is None, they show the name in its place.

    ``changed`` says that the file has changed since it was indexed.
    """

    path: str
    name: str
    uri: str | None
    tiny: bool
    changed: bool = False


@dataclass(frozen=True)
class Neighbor:
    """One result of a query: its picture, its caption, the number of bits that differ, and its score, if it has one."""

    picture: Picture
    label: str
    distance: int
    same_class: bool | None = None
    score: float | None = None


@dataclass(frozen=True)
class Query:
    """A query and its results, nearest first; ``size`` is their number, if not all are shown."""

    picture: Picture
    label: str
    neighbors: Sequence[Neighbor]
    size: int = 0
    error: str | None = None


def read_picture(path: str) -> bytes | None:
    """Return a JPEG thumbnail of an item; None for a row of a matrix, and for a file that can no longer be read."""
    try:
        return thumbnail(read_item(path), PICTURE_SIDE, truncated=True)
    except GannetError:
        return None


def make_picture(path: str, jpeg: bytes | None, changed: bool = False) -> Picture:
    """Return the picture of an item from its path and its JPEG thumbnail, if it has one."""
    name = PurePath(path).name or path
    if jpeg is None:
        return Picture(path, name, None, False, changed)
    with Image.open(io.BytesIO(jpeg)) as image:
        tiny = max(image.size) <= _TINY
    return Picture(path, name, "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"), tiny, changed)


class Album:
    """Makes the pictures of one page, each read once, until they take `PAGE_BYTES`; ``left_out`` counts the others.

    ``read`` is a function from a path to a JPEG thumbnail, or to None if there is no picture.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._jpegs: dict[str, bytes | None] = {}
        self._used = 0
        self.left_out = 0

    def picture(self, path: str, changed: bool = False, hidden: bool = False) -> Picture:
        """Return the picture of a path; a hidden one is not read, so that its name is shown in its place."""
        jpeg = None
        if not hidden:
            if self._used >= PAGE_BYTES:
                self.left_out += 1
            else:
                if path not in self._jpegs:
                    self._jpegs[path] = self._read(path)
                jpeg = self._jpegs[path]
                self._used += len(jpeg or b"") * 4 // 3
        return make_picture(path, jpeg, changed)


def all_tiny(pictures: Iterable[Picture]) -> bool:
    """Return whether every picture is tiny, so that the page can show them all smaller."""
    return all(picture.tiny for picture in pictures if picture.uri is not None)


def pictures_of(queries: Iterable[Query]) -> Iterator[Picture]:
    """Yield the pictures of queries and of their neighbors."""
    for query in queries:
        yield query.picture
        yield from (neighbor.picture for neighbor in query.neighbors)
