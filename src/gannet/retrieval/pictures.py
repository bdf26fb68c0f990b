"""The pictures of items: their size and date, and whether two items show the same picture."""

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from gannet.codes import Ids
from gannet.collection.collection import Collection
from gannet.collection.items import Item
from gannet.data import RawImage, decode, digest, read_item
from gannet.data.images import PartialImage, identify, pixel_digest
from gannet.errors import GannetError
from gannet.support.progress import progress
from gannet.support.threads import cores

_SIDE = 256
_LEAST_CONTRAST = 3.0
"""Least standard deviation of a color channel, of 255, of a picture that features can describe."""
_LEVELS, _BLOCK = 12, 32
_GROUND_PERCENTILES = (15, 85)
_PAGE_SHARE, _NEARLY = 0.5, 0.4
"""A picture with more than this share of pixels within 12 levels of one color is a drawing or a page of text."""
_NEIGHBORHOOD = 17
_LEAST_CORRELATION = 0.45
"""Of pages with different text, sketches had correlations of up to 0.2; of copies, scanned or turned a little, 0.65."""
_EXIF_TIMES = ((0x8769, 0x9003), (None, 0x0132))
_PICTURES_PER_TASK = 16


@dataclass(frozen=True)
class Picture:
    """A picture that could be read, and has the content that its item was made from.

    ``taken`` is the time at which it was taken, or its file's time of change, in ISO 8601. ``is_page`` says whether it
    looks like a page of text or a drawing, which features cannot distinguish from others. ``sketch`` are the details of
    such pictures, and of those that nearly look so, at unit length.
    """

    n_bytes: int
    width: int
    height: int
    taken: str | None
    has_contrast: bool
    is_page: bool
    sketch: npt.NDArray[np.float16] | None


class Pictures:
    """The pictures of a collection's items, each read once."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._pictures: dict[int, Picture | None] = {}

    def get(self, ids: Iterable[int]) -> dict[int, Picture | None]:
        """Return the pictures of items; None for those that cannot be read or have changed."""
        wanted = list(dict.fromkeys(ids))
        items = self._collection.items([id_ for id_ in wanted if id_ not in self._pictures])
        with_pictures = [item for item in items if item.digest is not None]
        self._pictures |= dict.fromkeys([item.id for item in items])
        self._pictures |= zip([item.id for item in with_pictures], _read_all(with_pictures, _picture), strict=True)
        return {id_: self._pictures[id_] for id_ in wanted}

    def pixel_digests(self, ids: Iterable[int]) -> dict[int, bytes]:
        """Return the digests of the pixels of items that can be read; new ones are stored in the collection."""
        wanted = list(ids)
        found = self._collection.pixel_digests(wanted)
        items = [item for item in self._collection.items([id_ for id_ in wanted if id_ not in found]) if item.digest]
        digests = zip(
            [item.id for item in items], _read_all(items, lambda _, content: pixel_digest(content)), strict=True
        )
        new = {id_: name for id_, name in digests if name is not None}
        if new:
            with contextlib.suppress(GannetError):  # the file may be on a full disk, or may not be changed
                self._collection.store_pixel_digests(new)
        return found | new

    def split(self, groups: Sequence[Ids]) -> list[Ids]:
        """Split groups of similar items where their pictures show that they differ.

        Pages of text and drawings have to agree in their details, and pictures without contrast in all pixels. Items
        whose pictures cannot be read stay with the others of their group.
        """
        pictures = self.get(int(id_) for group in groups for id_ in group)
        blank = [id_ for id_, picture in pictures.items() if picture and not picture.has_contrast]
        pixels = self.pixel_digests(blank) if blank else {}
        parts = [part for group in groups for part in self._split(group, pictures, pixels)]
        return sorted(parts, key=lambda part: (-len(part), part[0]))

    def _split(self, group: Ids, pictures: dict[int, Picture | None], pixels: dict[int, bytes]) -> list[Ids]:
        blank: dict[bytes, list[int]] = {}
        rest: list[int] = []
        sketches: dict[int, Picture] = {}
        for id_ in group.tolist():
            picture = pictures[id_]
            if picture is not None and not picture.has_contrast:
                blank.setdefault(pixels.get(id_, b"%d" % id_), []).append(id_)
            elif picture is not None and picture.sketch is not None:
                sketches[id_] = picture
            else:
                rest.append(id_)
        parts = [*blank.values(), *_connected(sketches, rest)]
        return [np.array(sorted(part), np.int64) for part in parts if len(part) > 1]


def _connected(sketches: dict[int, Picture], rest: list[int]) -> list[list[int]]:
    """Return the connected parts of a group of similar pictures, of which the ``rest`` has no sketches.

    Two pictures are connected if their sketches are correlated, or if both are no pages.
    """
    if not sketches:
        return [rest]
    ids = list(sketches)
    details = np.array([picture.sketch for picture in sketches.values()], np.float32)
    is_page = np.array([picture.is_page for picture in sketches.values()])
    todo = np.ones(len(ids), bool)
    parts = []
    seeds = [*np.flatnonzero(~is_page)[:1], *range(len(ids))]
    for seed in seeds:
        if not todo[seed]:
            continue
        part = [seed]
        todo[seed] = False
        for i in part:  # grows in the loop
            near = details @ details[i] >= _LEAST_CORRELATION
            if not is_page[i]:
                near |= ~is_page
            new = np.flatnonzero(near & todo)
            todo[new] = False
            part += new.tolist()
        named = [ids[i] for i in part]
        parts.append(named if is_page[part].all() else named + rest)
    return parts if not is_page.all() else [*parts, rest]


def _read_all(items: Sequence[Item], use: Any) -> list[Any]:
    """Return the result of ``use(item, content)`` for items; None for those whose content is not the stored one."""

    def read(some: Sequence[Item]) -> list[Any]:
        results = []
        for item in some:
            result = None
            with contextlib.suppress(GannetError):
                content = read_item(item.path)
                if digest(content) == item.digest:
                    # The item may have been indexed with --truncated.
                    result = use(item, PartialImage(content) if isinstance(content, bytes) else content)
            results.append(result)
        return results

    tasks = [items[start : start + _PICTURES_PER_TASK] for start in range(0, len(items), _PICTURES_PER_TASK)]
    found: list[Any] = []
    with progress(len(items), "reading", "img") as bar, ThreadPoolExecutor(cores()) as pool:
        for results in pool.map(read, tasks):
            found += results
            bar.update(len(results))
    return found


def _picture(item: Item, content: RawImage) -> Picture:
    width, height, taken = _header(content)
    colors = decode(content, _SIDE).astype(np.float32)
    has_contrast = bool(colors.std(axis=(0, 1)).max() >= _LEAST_CONTRAST)
    gray = colors @ np.array([0.299, 0.587, 0.114], np.float32)
    n_bytes = content.nbytes if isinstance(content, np.ndarray) else len(content)
    if taken is None and item.path == item.origin.container:
        with contextlib.suppress(OSError, OverflowError, ValueError):
            changed = datetime.datetime.fromtimestamp(Path(item.path).stat().st_mtime)
            taken = changed.isoformat(sep=" ", timespec="seconds")
    share = _ground_share(colors)
    sketch = _sketch(gray) if share > _NEARLY else None
    return Picture(n_bytes, width, height, taken, has_contrast, share > _PAGE_SHARE, sketch)


def _header(content: RawImage) -> tuple[int, int, str | None]:
    """Return the width and the height of a picture, and the time when it was taken, if the file says so."""
    if isinstance(content, np.ndarray):
        return content.shape[1], content.shape[0], None
    image = identify(content)
    taken = None
    with contextlib.suppress(Exception):  # a damaged EXIF block leaves the pixels usable
        exif = image.getexif()
        for folder, tag in _EXIF_TIMES:
            text = str((exif if folder is None else exif.get_ifd(folder)).get(tag, ""))
            with contextlib.suppress(ValueError):
                time = datetime.datetime.strptime(text[:19], "%Y:%m:%d %H:%M:%S")
                taken = taken or time.isoformat(sep=" ")
    return image.width, image.height, taken


def _ground_share(colors: npt.NDArray[np.float32]) -> float:
    """Return the share of pixels of nearly the same color as the ground, which is the median if it is the majority.

    For uneven light, as in a scan, the ground is a quadratic surface through the light or the dark parts of blocks.
    """
    n = _SIDE // _BLOCK
    blocks = colors.reshape(n, _BLOCK, n, _BLOCK, 3)
    grounds = [np.median(colors, axis=(0, 1))]
    for parts in np.percentile(blocks, _GROUND_PERCENTILES, axis=(1, 3)):
        surface = np.linalg.lstsq(_quadratic(n), parts.reshape(-1, 3), rcond=None)[0]
        grounds.append((_quadratic(_SIDE) @ surface).reshape(colors.shape))
    return max(float((np.abs(colors - ground).max(axis=2) <= _LEVELS).mean()) for ground in grounds)


@functools.cache
def _quadratic(n: int) -> npt.NDArray[np.float32]:
    """Return the terms of quadratic surfaces at the places of ``n`` x ``n`` blocks: float32 ``(n * n, 6)``."""
    at = (np.arange(n, dtype=np.float32) + 0.5) / n - 0.5
    y, x = np.repeat(at, n), np.tile(at, n)
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _sketch(gray: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    """Return the details of a picture at half its size, at unit length.

    The means of the neighborhoods in each row and then in each column are subtracted, and with them margins, the shape
    of paragraphs and the rhythm of lines, which pages with different text share.
    """
    details = gray.reshape(_SIDE // 2, 2, _SIDE // 2, 2).mean(axis=(1, 3))
    for axis in (1, 0):
        details = details - uniform_filter1d(details, _NEIGHBORHOOD, axis)
    length = float(np.linalg.norm(details))
    sketch: npt.NDArray[np.float16] = (details / (length or 1)).ravel().astype(np.float16)
    return sketch
