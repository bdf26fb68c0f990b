"""An open collection file and its transactions."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from gannet.collection import storage
from gannet.collection.errors import explained
from gannet.errors import GannetError


class TransactionalFile:
    """An open collection file that several threads may use, each call or block as one transaction.

    Parameters
    ----------
    file : Path
        File of the collection.
    db : Connection
        Connection to the file.
    timeout : float
        Seconds to wait while another program uses the file.
    """

    def __init__(self, file: Path, db: storage.Connection, timeout: float) -> None:
        self._file = file
        self._db = db
        self._timeout = timeout
        self._lock = threading.RLock()
        self._closed = False
        self._identity = storage.identify(file)

    @property
    def name(self) -> str:
        """Name of the file, without its folder."""
        return self._file.name

    def close(self) -> None:
        """Close the file; a closed collection may be closed again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                storage.close(self._db, self._file, self._identity)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        """Make all calls in the block one transaction: if the block raises an exception, all of them are undone.

        Yields
        ------
        None
            The block may read and change the collection.
        """
        with self._transaction(write=True):
            yield

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the file in the whole block, in which nothing may be changed.

        Yields
        ------
        None
            The block may read the collection.
        """
        with self._transaction():
            yield

    def is_replaced(self) -> bool:
        """Return whether another file, or another copy of this one, has taken its place since it was opened.

        Returns
        -------
        bool
            If True, open the collection again. A change that another program makes at this moment may give True, too.
        """
        with self._lock, explained(self._file):
            return storage.is_replaced(self._db, self._file, self._identity)

    @contextlib.contextmanager
    def _transaction(self, write: bool = False) -> Iterator[storage.Connection]:
        """Run a block on one state of the file; its changes are kept only if it raises no exception."""
        with self._lock, explained(self._file):
            if self._closed:
                raise GannetError(f"{self._file} is closed; open it again with Collection.open")
            if self._db.in_transaction:
                with storage.savepoint(self._db):
                    yield self._db
                return
            if write:
                storage.begin_change(self._db, self._file, self._identity, self._timeout)
            else:
                storage.check_unchanged(self._db, self._file)
                self._db.execute("BEGIN")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.rollback()
                if write:
                    storage.remove_log(self._db, self._file, self._identity)
                raise
            if write:
                storage.end_change(self._db, self._timeout)
            else:
                storage.check_unchanged(self._db, self._file)
