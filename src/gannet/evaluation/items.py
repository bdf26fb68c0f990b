"""The labeled images of a protocol: those of a named data set, or the user's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource
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
from gannet.evaluation.protocols import Protocol, Rows, all_protocols, get_protocol, own_protocol


@dataclass(frozen=True)
class Items:
    """Labeled images, and the parts that the data set divides them into.

    Parameters
    ----------
    source : ImageSource
        The images.
    labels : ndarray of shape (n,) or (n, n_labels)
        Class ids, or 0/1 rows.
    parts : mapping of str to ndarray
        Rows of the parts ``query``, ``database`` and ``train``; empty if the data set has no parts of its own.
    """

    source: ImageSource
    labels: npt.NDArray[Any]
    parts: Mapping[str, Rows]

    def subset(self, rows: Rows) -> Items:
        """Return the items of some rows, numbered anew."""
        place = np.full(len(self.labels), -1, np.int64)
        place[rows] = np.arange(len(rows))
        parts = {name: place[part][place[part] >= 0] for name, part in self.parts.items()}
        return Items(Subset(self.source, rows), self.labels[rows], parts)


def find_protocol(name: str, path: str | os.PathLike[str] | None = None) -> tuple[Protocol, Items]:
    """Return a protocol and its images.

    Parameters
    ----------
    name : str
        Name of a protocol; or the path of class folders, of a folder with lists, or of one list, for the protocol of
        the user's own images.
    path : str or path, optional
        Where the data set of a named protocol is stored. By default, `gannet.data.datasets` looks for it.

    Returns
    -------
    protocol : Protocol
        The protocol.
    items : Items
        The images and labels.

    Raises
    ------
    GannetError
        If the name is unknown (the message suggests the nearest), or if the data are missing or malformed.
    """
    if name in all_protocols() or not _is_path(name):
        protocol = get_protocol(name)
        return protocol, _LOADERS[protocol.dataset](path)
    if path is not None:
        raise GannetError(f"{name} is itself the data: leave out the other path")
    items = _own(name)
    label = Path(os.path.normpath(Path(name).absolute())).name
    return own_protocol(label, len(items.labels), bool(items.parts), items.labels.ndim == 2), items


def _is_path(name: str) -> bool:
    return Path(name).exists() or os.sep in name or bool(Path(name).suffix)


def _own(path: str) -> Items:
    if Path(path).is_dir() and has_lists(path):
        return _listed(load_lists(path))
    if Path(path).is_file() and path.lower().endswith(".txt"):
        return _listed(load_list(path))
    return _labeled(load_class_folders(path))


def _labeled(images: LabelledImages) -> Items:
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
    return _labeled(load_digits())


def _nuswide(path: str | os.PathLike[str] | None) -> Items:
    folder = path or os.environ.get("GANNET_DATA")
    if not folder:
        raise GannetError(
            "NUS-WIDE cannot be downloaded: name a folder with its images, database.txt, test.txt and train.txt "
            "with --data or in GANNET_DATA"
        )
    return _listed(load_nuswide(folder))


_LOADERS: dict[str, Callable[[str | os.PathLike[str] | None], Items]] = {
    "cifar10": lambda path: _labeled(load_cifar10(path)),
    "fashion-mnist": lambda path: _labeled(load_fashion_mnist(path)),
    "nuswide21": _nuswide,
    "digits": _digits,
}
