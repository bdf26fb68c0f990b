"""Features kept on disk by the content of the image, so that the same network encodes no image twice.

There is one SQLite file per network, preprocessing and precision, ``features/<key>.sqlite`` in the cache directory
(`gannet.support.cache.cache_dir`), about 5 KB per image for 1280 features. To clear the cache, delete the file.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.support.arrays import log
from gannet.support.cache import cache_dir

Features = NDArray[np.float32]

_ROWS_PER_QUERY = 500
"""SQLite before version 3.32 takes at most 999 parameters per query."""


class FeatureCache:
    """Feature vectors by content digest, shared by threads and processes.

    A damaged file is replaced. A disk that is full or read-only turns the cache off. Both are logged once, and neither
    stops the work. ``key`` is that of an `Extractor` and names the file, in ``folder`` or in the cache directory.
    """

    def __init__(self, key: str, n_features: int, folder: Path | None = None) -> None:
        self.path = (folder or cache_dir() / "features") / f"{key}.sqlite"
        self.n_features = n_features
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._open()

    @classmethod
    @contextlib.contextmanager
    def open_for(cls, key: str | None, n_features: int) -> Iterator[FeatureCache | None]:
        """Open the cache of a network within a block; yield None for a network without a key."""
        if key is None:
            yield None
            return
        with cls(key, n_features) as cache:
            yield cache

    def get_many(self, digests: Sequence[bytes]) -> tuple[NDArray[np.bool_], Features]:
        """Return which digests are known, bool ``(n,)``, and their features in order, float32 ``(n_known, d)``."""
        rows: dict[bytes, bytes] = {}
        with self._lock:
            try:
                for start in range(0, len(digests), _ROWS_PER_QUERY):
                    rows.update(self._select(digests[start : start + _ROWS_PER_QUERY]))
            except sqlite3.Error as error:
                self._recover(error)
        size = 4 * self.n_features
        rows = {digest: row for digest, row in rows.items() if len(row) == size}
        found = np.fromiter((digest in rows for digest in digests), bool, len(digests))
        together = b"".join(rows[digest] for digest in digests if digest in rows)
        return found, np.frombuffer(together, "<f4").astype(np.float32, copy=False).reshape(-1, self.n_features)

    def put_many(self, digests: Sequence[bytes], values: Features) -> None:
        """Store features, float32 ``(n, d)``, under their digests, in one transaction."""
        rows = [(digest, row.tobytes()) for digest, row in zip(digests, np.asarray(values, dtype="<f4"), strict=True)]
        with self._lock:
            if self._connection is None:
                return
            try:
                with self._connection:
                    self._connection.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)
            except sqlite3.Error as error:
                self._recover(error)

    def close(self) -> None:
        """Close the file; from then on, the cache is empty and stores nothing."""
        with self._lock:
            self._disconnect()

    def __enter__(self) -> FeatureCache:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _select(self, digests: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
        if self._connection is None:
            return []
        marks = ",".join("?" * len(digests))
        query = f"SELECT digest, row FROM features WHERE digest IN ({marks})"
        return self._connection.execute(query, digests).fetchall()

    def _open(self) -> None:
        try:
            self._connect()
        except (sqlite3.Error, OSError) as error:
            self._recover(error)

    def _connect(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # The lock lets one thread at a time use the connection, which the loading threads share.
        self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        # A table with rowids: without, looking up rows of this size takes four times as long.
        self._connection.execute("CREATE TABLE IF NOT EXISTS features (digest BLOB PRIMARY KEY, row BLOB NOT NULL)")
        self._connection.commit()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _recover(self, error: Exception) -> None:
        """Replace a damaged file; turn the cache off after any other failure."""
        self._disconnect()
        if _is_damage(error):
            log.warning("the feature cache %s is damaged; starting a new one", self.path)
            try:
                for suffix in ("", "-wal", "-shm"):
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
                self._connect()
                return
            except (sqlite3.Error, OSError) as second:
                self._disconnect()
                error = second
        log.warning("features will not be cached: %s (%s)", error, self.path)


def _is_damage(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return False
    # The low byte is the primary code. An error in the SQL means a table of another form, which is another program's.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
