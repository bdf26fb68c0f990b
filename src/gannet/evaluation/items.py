"""The labelled images a protocol is about: found, turned into features once, and split."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource, LabelledImages, Skipped
from gannet.data.base import Subset
from gannet.data.datasets import all_datasets, get_dataset, load_own
from gannet.errors import GannetError, unknown_name
from gannet.evaluation.images import SplitImages
from gannet.evaluation.protocols import Protocol, Rows, Split, all_protocols, own_protocol
from gannet.hashers.takes import FromFeatures, FromViews

if TYPE_CHECKING:
    from gannet.feature_reader import FeatureReader
    from gannet.hashers.base import Hasher


@dataclass(frozen=True)
class Items:
    """Images with labels, class ids ``(n,)`` or 0/1 rows ``(n, n_labels)``, and the parts they come in."""

    source: ImageSource
    labels: npt.NDArray[Any]
    parts: Mapping[str, Rows]


@dataclass(frozen=True)
class SplitFeatures:
    """Features of the three parts of a split, and labels where they judge: the training set has none.

    ``query`` ``(q, d)``, ``database`` ``(m, d)`` and ``train`` ``(t, d)`` are real matrices. ``source`` has the images
    that the rows of ``split`` number; ``images`` reads them for methods that learn from images, where there are any.
    """

    query: npt.NDArray[Any]
    database: npt.NDArray[Any]
    train: npt.NDArray[Any]
    query_labels: npt.NDArray[Any]
    database_labels: npt.NDArray[Any]
    split: Split
    source: ImageSource
    images: SplitImages | None = None

    def given_to(self, hasher: Hasher) -> Sequence[npt.NDArray[Any]]:
        """Return what the method encodes of queries and database, and what it learns from: arrays, no labels.

        Raises: `GannetError` where it learns from images and there are none.
        """
        takes = hasher.takes
        if isinstance(takes, FromFeatures):
            return self.query, self.database, self.train
        if self.images is None:
            raise GannetError(f"{hasher.name} learns from images, and there are only features")
        if isinstance(takes, FromViews):
            return self.query, self.database, self.images.train_views(takes.n_views, takes.original_first)
        return self.images.pixels(takes.side)


def find_protocol(name: str, path: str | os.PathLike[str] | None = None) -> tuple[Protocol, Items]:
    """Return a protocol and its images.

    Parameters
    ----------
    name : str
        A named protocol; the path of class folders, of a folder with lists or of one list; or a data set of another
        distribution, for which the protocol of a user's own data is used.
    path : str or path-like, default=None
        Where the data set lies; if None, the data set decides where to look.

    Raises
    ------
    GannetError
        If the name is unknown (the message suggests the nearest), or if the data are missing or malformed.
    """
    protocols = all_protocols()
    data_path = None if path is None else os.fspath(path)
    if name in protocols:
        protocol = protocols[name]
        return protocol, _items(get_dataset(protocol.dataset)().load(data_path))
    if _is_path(name):
        if path is not None:
            raise GannetError(f"{name} is itself the data: leave out the other path")
        images, label = load_own(name), Path(os.path.normpath(Path(name).absolute())).name
    else:
        # Gannet's own data sets have several protocols, one of which must be named.
        others = all_datasets().keys() - {protocol.dataset for protocol in protocols.values()}
        if name not in others:
            raise unknown_name("protocol", name, [*protocols, *others])
        images, label = get_dataset(name)().load(data_path), name
    return own_protocol(label, len(images), bool(images.parts), images.labels.ndim == 2), _items(images)


def split_features(protocol: Protocol, items: Items, reader: FeatureReader) -> tuple[SplitFeatures, list[Skipped]]:
    """Return the features of the protocol's parts, from the cache where it has them, and what was unreadable.

    Where the protocol does not settle the number of images, those that cannot be read are left out before
    the split is drawn.
    """
    features = reader.read(items.source)
    kept = items
    if len(features.paths) < len(items.source):
        kept = _keep(items, np.array([items.source.find(path) for path in features.paths], np.int64))
        first = features.skipped[len(items.source.skipped)]
        if protocol.n_items is not None:
            n_lost = len(items.source) - len(features.paths)
            raise GannetError(f"{n_lost:,} images cannot be read, the first: {first.path}: {first.reason}")
    split = protocol.split(kept.labels, kept.parts)
    values = features.values
    return SplitFeatures(
        values[split.query],
        values[split.database],
        values[split.train],
        kept.labels[split.query],
        kept.labels[split.database],
        split,
        kept.source,
        SplitImages(kept.source, split, reader),
    ), list(features.skipped)


def _keep(items: Items, rows: Rows) -> Items:
    """Number the items that are left anew."""
    place = np.full(len(items.labels), -1, np.int64)
    place[rows] = np.arange(len(rows))
    parts = {name: place[part][place[part] >= 0] for name, part in items.parts.items()}
    return replace(items, source=Subset(items.source, rows), labels=items.labels[rows], parts=parts)


def _items(images: LabelledImages) -> Items:
    return Items(images.source, images.labels, images.parts)


def _is_path(name: str) -> bool:
    return Path(name).exists() or os.sep in name or bool(Path(name).suffix)
