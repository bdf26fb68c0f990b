"""The data of a split: the arrays that methods learn from and encode, the labels, and the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource, Skipped
from gannet.data.base import Subset
from gannet.errors import GannetError
from gannet.evaluation.items import Items
from gannet.evaluation.protocols import Protocol, Rows, Split
from gannet.hashers.takes import FromFeatures, Takes

if TYPE_CHECKING:
    from gannet.feature_reader import FeatureReader
    from gannet.hashers.base import Hasher


class SplitArrays(NamedTuple):
    """The queries and the database in the form that a method encodes, and the training set in the form it learns from.

    Each array has one row per item of its part.
    """

    query: npt.NDArray[Any]
    database: npt.NDArray[Any]
    train: npt.NDArray[Any]


class SplitData:
    """The arrays of a split, the labels of queries and database, and the images.

    The training set has no labels here, so that no method can learn from them. ``features (n, d)`` and ``labels (n,)``
    or ``(n, n_labels)`` are those of all items of ``source``. Without ``reader``, which reads views and pixels, methods
    that learn from images cannot be run.
    """

    def __init__(
        self,
        features: npt.NDArray[Any],
        labels: npt.NDArray[Any],
        split: Split,
        source: ImageSource,
        reader: FeatureReader | None = None,
    ) -> None:
        self.split, self.source, self._reader = split, source, reader
        self.query_labels, self.database_labels = labels[split.query], labels[split.database]
        arrays = SplitArrays(features[split.query], features[split.database], features[split.train])
        self._arrays: dict[Takes, SplitArrays] = {FromFeatures(): arrays}

    @property
    def features(self) -> SplitArrays:
        """The features of the three parts."""
        return self._arrays[FromFeatures()]

    def given_to(self, hasher: Hasher) -> SplitArrays:
        """Return the arrays in the form that a method takes. They are read once per form and kept.

        Raises a `GannetError` if the method learns from images and there is no reader, or if an image can no longer be
        read.
        """
        takes = hasher.takes
        if takes not in self._arrays:
            if self._reader is None:
                raise GannetError(f"{hasher.name} learns from images, and there are only features")
            self._arrays[takes] = self._read(takes, self._reader)
        return self._arrays[takes]

    def _read(self, takes: Takes, reader: FeatureReader) -> SplitArrays:
        def read(rows: Rows) -> npt.NDArray[Any]:
            found = reader.read(Subset(self.source, rows), takes)
            if found.skipped:
                raise GannetError(f"{found.skipped[0].path} can no longer be read: {found.skipped[0].reason}")
            return found.values

        if takes.encodes in self._arrays:
            encoded = self._arrays[takes.encodes]
            return SplitArrays(encoded.query, encoded.database, read(self.split.train))
        return SplitArrays(*(read(rows) for rows in (self.split.query, self.split.database, self.split.train)))


def read_split(protocol: Protocol, items: Items, reader: FeatureReader) -> tuple[SplitData, Sequence[Skipped]]:
    """Return the features of all items, split as the protocol says, and the images that could not be read.

    Unreadable images are left out before the split is drawn. If the protocol fixes the number of images, or if there
    are too few items, a `GannetError` is raised.
    """
    features = reader.read(items.source)
    n_lost = len(items.source) - len(features.paths)
    if n_lost and protocol.n_items is not None:
        first = features.skipped[len(items.source.skipped)]
        raise GannetError(f"{n_lost:,} images cannot be read, the first: {first.path}: {first.reason}")
    if n_lost:
        items = items.subset(np.array([items.source.find(path) for path in features.paths], np.int64))
    split = protocol.split(items.labels, items.parts)
    return SplitData(features.values, items.labels, split, items.source, reader), features.skipped
