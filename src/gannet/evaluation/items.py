"""The labeled images of a protocol: those of a named data set, or the user's own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource, LabeledImages
from gannet.data.base import Subset, exists
from gannet.data.datasets import all_datasets, get_dataset, load_own
from gannet.errors import GannetError, unknown_name
from gannet.evaluation.protocols import Protocol, Rows, all_protocols, get_protocol, own_protocol


@dataclass(frozen=True)
class Items:
    """Labeled images, with class ids ``(n,)`` or 0/1 rows ``(n, n_labels)`` as labels.

    ``parts`` has the rows of the data set's own ``query``, ``database`` and ``train`` parts; it is empty without them.
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
    """Return a protocol and its images, which by default the data set looks for itself.

    ``name`` is a protocol's; or, for the protocol of the user's own images, the path of class folders, of a folder with
    lists, or of one list, or the name of a data set that another distribution brings. Raises a `GannetError` if the
    name is unknown (the message suggests the nearest), or if the data are missing or malformed.
    """
    protocols = all_protocols()
    data_path = None if path is None else os.fspath(path)
    if name in protocols:
        protocol = get_protocol(name)
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


def _is_path(name: str) -> bool:
    return exists(name) or os.sep in name or bool(Path(name).suffix)


def _items(images: LabeledImages) -> Items:
    return Items(images.source, images.labels, images.parts)
