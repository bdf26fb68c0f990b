"""The file of a collection that is kept open while other programs may change, replace or overwrite it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gannet.collection import storage
from gannet.collection.collection import Collection
from gannet.collection.errors import explained
from gannet.collection.log import read_base
from gannet.index import IndexFactory
from gannet.retrieval._query_encoder import QueryEncoder
from gannet.retrieval.pictures import Pictures


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
        self.queries = QueryEncoder(self.collection)

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

    def close(self) -> None:
        """Close both connections."""
        self._monitor.close()
        self.collection.close()
