"""Pictures on pages: thumbnails that are embedded in the HTML, and queries with the pictures of their neighbors."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from PIL import Image

from gannet.data import read_item, thumbnail
from gannet.errors import GannetError

#: Longer side of thumbnails in pixels: twice the size at which pages show them, for high-resolution screens.
PICTURE_SIDE = 288

# Pictures up to this side are enlarged to crisp pixels instead of a blur.
_TINY = 64


@dataclass(frozen=True)
class Picture:
    """A picture as the templates show it; if ``uri`` is None, they show the name in its place."""

    path: str
    name: str
    uri: str | None
    tiny: bool


@dataclass(frozen=True)
class Neighbor:
    """One result of a query: its picture, its caption, and the number of bits that differ."""

    picture: Picture
    label: str
    distance: int
    same_class: bool | None = None


@dataclass(frozen=True)
class Query:
    """A query and its results, nearest first."""

    picture: Picture
    label: str
    neighbors: Sequence[Neighbor]


def read_picture(path: str) -> bytes | None:
    """Return a JPEG thumbnail of an item.

    Parameters
    ----------
    path : str
        Path of the item, as its collection stores it.

    Returns
    -------
    bytes or None
        None for a row of a matrix, and for a file that can no longer be read.
    """
    try:
        return thumbnail(read_item(path), PICTURE_SIDE, truncated=True)
    except GannetError:
        return None


def make_picture(path: str, jpeg: bytes | None) -> Picture:
    """Return the picture of an item from its path and its JPEG thumbnail, if it has one."""
    name = PurePath(path).name or path
    if jpeg is None:
        return Picture(path, name, None, False)
    with Image.open(io.BytesIO(jpeg)) as image:
        tiny = max(image.size) <= _TINY
    return Picture(path, name, "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"), tiny)


def all_tiny(pictures: Iterable[Picture]) -> bool:
    """Return whether every picture is tiny, so that the page can show them all smaller."""
    return all(picture.tiny for picture in pictures if picture.uri is not None)


def pictures_of(queries: Iterable[Query]) -> Iterator[Picture]:
    """Yield the pictures of queries and of their neighbors."""
    for query in queries:
        yield query.picture
        yield from (neighbor.picture for neighbor in query.neighbors)
