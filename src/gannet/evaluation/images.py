"""The images of a split, for methods that learn from images: read when the first method asks, and then kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource
from gannet.data.base import Subset
from gannet.errors import GannetError
from gannet.evaluation.protocols import Rows, Split
from gannet.hashers.takes import FromPixels, FromViews

if TYPE_CHECKING:
    from gannet.feature_reader import FeatureReader, Features


class SplitImages:
    """Views and pixels of the images ``source`` has at the rows of ``split``, made by ``reader``; no labels."""

    def __init__(self, source: ImageSource, split: Split, reader: FeatureReader) -> None:
        self._source, self._split, self._reader = source, split, reader
        self._pixels: dict[int, list[npt.NDArray[np.uint8]]] = {}
        self._views: dict[tuple[int, bool], npt.NDArray[np.float32]] = {}

    def train_views(self, n_views: int, original_first: bool) -> npt.NDArray[np.float32]:
        """Return features ``(t, n_views, d)`` of views of the training images; no others are looked at.

        They are those of `FeatureReader.read`.
        """
        wanted = n_views, original_first
        if wanted not in self._views:
            self._views[wanted] = _whole(self._reader.read(self._subset(self._split.train), FromViews(*wanted)))
        return self._views[wanted]

    def pixels(self, side: int) -> list[npt.NDArray[np.uint8]]:
        """Return the images of queries, database and training set, each uint8 ``(n, side, side, 3)``."""
        if side not in self._pixels:
            parts = self._split.query, self._split.database, self._split.train
            self._pixels[side] = [_whole(self._reader.read(self._subset(rows), FromPixels(side))) for rows in parts]
        return self._pixels[side]

    def _subset(self, rows: Rows) -> Subset:
        return Subset(self._source, rows)


def _whole(found: Features) -> npt.NDArray[Any]:
    if found.skipped:
        raise GannetError(f"{found.skipped[0].path} can no longer be read: {found.skipped[0].reason}")
    return found.values
