"""The labelled images a protocol is about: found, turned into features once, and split."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource, Skipped
from gannet.data.base import Subset
from gannet.data.datasets import (
    LabelledImages,
    load_cifar10,
    load_class_folders,
    load_digits,
    load_fashion_mnist,
)
from gannet.data.nuswide import ListedImages, has_lists, load_list, load_lists, load_nuswide
from gannet.errors import GannetError
from gannet.evaluation.images import SplitImages
from gannet.evaluation.protocols import Protocol, Rows, Split, all_protocols, get_protocol, own_protocol
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
    """Return a protocol and its images: a named one, or that of the user's own folder or list.

    Parameters: ``name``, a protocol's, or the path of class folders, of a folder with lists or of one list;
    ``path``, where the data set of a named protocol lies (None: where `gannet.data.datasets` looks).
    Raises: `GannetError` for an unknown name (with the nearest), and for data that are missing or not right.
    """
    if name in all_protocols() or not _is_path(name):
        protocol = get_protocol(name)
        return protocol, _LOADERS[protocol.dataset](path)
    if path is not None:
        raise GannetError(f"{name} is itself the data: leave out the other path")
    items = _own(name)
    label = Path(os.path.normpath(Path(name).absolute())).name
    return own_protocol(label, len(items.labels), bool(items.parts), items.labels.ndim == 2), items


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


def _is_path(name: str) -> bool:
    return Path(name).exists() or os.sep in name or bool(Path(name).suffix)


def _own(path: str) -> Items:
    if Path(path).is_dir() and has_lists(path):
        return _listed(load_lists(path))
    if Path(path).is_file() and path.lower().endswith(".txt"):
        return _listed(load_list(path))
    return _labelled(load_class_folders(path))


def _labelled(images: LabelledImages) -> Items:
    parts: dict[str, Rows] = {}
    if images.is_test is not None:
        parts = {"query": np.flatnonzero(images.is_test), "database": np.flatnonzero(~images.is_test)}
    return Items(images.source, images.labels, parts)


def _listed(images: ListedImages) -> Items:
    parts = {"query": images.query, "database": images.database, "train": images.train}
    return Items(images.source, images.labels, {name: rows for name, rows in parts.items() if rows is not None})


def _digits(path: str | os.PathLike[str] | None) -> Items:
    if path is not None:
        raise GannetError("the digits come with scikit-learn: leave the path out")
    return _labelled(load_digits())


def _nuswide(path: str | os.PathLike[str] | None) -> Items:
    folder = path or os.environ.get("GANNET_DATA")
    if not folder:
        raise GannetError(
            "NUS-WIDE cannot be fetched: name a folder with its images, database.txt, test.txt and train.txt "
            "with --data or in GANNET_DATA"
        )
    return _listed(load_nuswide(folder))


_LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], Items]] = {
    "cifar10": lambda path: _labelled(load_cifar10(path)),
    "fashion-mnist": lambda path: _labelled(load_fashion_mnist(path)),
    "nuswide21": _nuswide,
    "digits": _digits,
}
