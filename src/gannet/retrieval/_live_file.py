"""The file of a collection that is kept open while other programs may change, replace or overwrite it."""

from __future__ import annotations

import sqlite3
import threading
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gannet.collection import storage
from gannet.collection.collection import Collection
from gannet.collection.errors import explained
from gannet.collection.log import read_base
from gannet.collection.stored_model import read_model
from gannet.errors import GannetError
from gannet.index import IndexFactory
from gannet.retrieval.found import EncodedQuery
from gannet.retrieval.pictures import Pictures

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model


class LiveFile:
    """The open collection, its model, and a second connection that sees all changes, including this program's own."""

    def __init__(self, path: Path, editable: bool, index: str | IndexFactory) -> None:
        self._path = path
        self._identity = storage.identify(path)
        self._stamp = storage.stamp(path)
        self.collection = Collection.open(path, readonly=not editable, index=index)
        self._monitor = storage.connect(path, readonly=True)
        self.pictures = Pictures(self.collection)  # an item's content never changes, so they outlive a state
        self._version = 0
        self._encoding = threading.Lock()

    def is_outdated(self, version: int, state: bytes) -> bool:
        """Return whether the file must be opened again.

        It must if another file has replaced or overwritten it, or if its disk was full and has room again. ``version``
        and ``state`` are those of the data that were read from it.
        """
        identity, stamp = storage.identify(self._path), storage.stamp(self._path)
        if identity is None or stamp is None:
            return False
        if identity != self._identity or storage.is_outdated(self._monitor, self._path):
            return True
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        return self.collection.is_replaced() or (self.version() == version and self.state() != state)

    def state(self) -> bytes:
        """Return the state that the file is in, without changes that are only in its log."""
        base = read_base(self._path)
        return b"" if base is None else base.state

    def version(self, wait: bool = False) -> int:
        """Return a number that differs after every change.

        At the end of a change, the writer locks the file for a moment. Without ``wait``, the number stays the same
        until the lock is released.
        """
        with explained(self._path):
            self._monitor.execute(f"PRAGMA busy_timeout = {1000 * storage.TIMEOUT if wait else 0:.0f}")
            try:
                (self._version,) = storage.read_row(self._monitor, "PRAGMA data_version", int)
            except sqlite3.OperationalError as error:
                if wait or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
        return self._version

    def encode(self, image: bytes) -> EncodedQuery:
        """Return the code of an image, and the weights of its bits."""
        if self.model.backbone is None:
            raise GannetError("this collection is of vectors, not of images: search it by the id of an item")
        # One query at a time: the backbone uses all cores by itself, and images take much memory.
        with self._encoding:
            found = self._hasher.features([image])
            if found.skipped:
                raise GannetError(f"the image cannot be used: {found.skipped[0].reason}")
            return self._encoded(found.values)

    def encode_text(self, text: str) -> EncodedQuery:
        """Return the code of a text, and the weights of its bits."""
        with self._encoding:
            return self._encoded(self._hasher.text_features([text]))

    def _encoded(self, values: npt.NDArray[Any]) -> EncodedQuery:
        return EncodedQuery(self.model.encoder.encode(values)[0], self.model.bit_weights(values)[0])

    @cached_property
    def model(self) -> Model:
        """The collection's model."""
        return read_model(self.collection)

    @cached_property
    def _hasher(self) -> ImageHasher:
        from gannet.image_hasher import ImageHasher

        return ImageHasher(model=self.model)

    def close(self) -> None:
        """Close both connections."""
        self._monitor.close()
        self.collection.close()
