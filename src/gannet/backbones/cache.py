"""Features kept on disk by the content of the image, so that no image is encoded twice by the same network.

There is one SQLite file per network, preprocessing and precision, ``features/<key>.sqlite`` in the cache
directory (:func:`gannet.support.cache.cache_dir`), about 5 KB an image for 1280 features. Deleting the file
clears it.
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

_ROWS_A_QUERY = 500
"""SQLite before 3.32 takes at most 999 parameters."""


class FeatureCache:
    """Feature vectors by content digest, shared by threads and processes.

    A damaged file is replaced; a disk that is full or read-only turns the cache off. Either is said once in
    the log, and neither stops the work.

    Args:
        key: what made the features (:attr:`gannet.backbones.extractor.FeatureExtractor.cache_key`).
        n_features: length of a feature vector.
        folder: where the file lies; ``features`` in the cache directory where None.
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
        """Look up digests; return which are known, bool ``(n,)``, and the features of those.

        The features, float32 ``(found, d)``, are in the order of the digests.
        """
        rows: dict[bytes, bytes] = {}
        with self._lock:
            try:
                for start in range(0, len(digests), _ROWS_A_QUERY):
                    rows.update(self._select(digests[start : start + _ROWS_A_QUERY]))
            except sqlite3.Error as error:
                self._recover(error)
        size = 4 * self.n_features
        rows = {digest: row for digest, row in rows.items() if len(row) == size}
        found = np.fromiter((digest in rows for digest in digests), bool, len(digests))
        together = b"".join(rows[digest] for digest in digests if digest in rows)
        return found, np.frombuffer(together, "<f4").astype(np.float32, copy=False).reshape(-1, self.n_features)

    def put_many(self, digests: Sequence[bytes], values: Features) -> None:
        """Keep features, float32 ``(n, d)``, under their digests, in one transaction."""
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
        """Close the file; the cache is empty and stores nothing from then on."""
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
        # The lock serialises use, so that the loading threads can share one connection.
        self._connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        # With rowids: rows this large, kept in the index itself, are four times slower to look up.
        self._connection.execute("CREATE TABLE IF NOT EXISTS features (digest BLOB PRIMARY KEY, row BLOB NOT NULL)")
        self._connection.commit()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _recover(self, error: Exception) -> None:
        """Replace a damaged file; give the cache up for any other failure."""
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
    # The low byte is the primary code. A table of another shape is also a file that is not ours to read.
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)
