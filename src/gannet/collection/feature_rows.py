"""Features in a collection file, for re-ranking: one row per item, at unit length, in half precision."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids
from gannet.collection.errors import DamagedError
from gannet.collection.storage import rows_in
from gannet.errors import GannetError
from gannet.support.arrays import unit_rows

Features = npt.NDArray[np.float16]


def half_unit(features: npt.ArrayLike) -> Features:
    """Return ``features (n, d)`` at unit Euclidean length as float16; rows of zeros stay zero.

    Any finite values are accepted. The 11 bits of each value change cosines of real features by about 1e-5.
    """
    rows = np.asarray(features)
    halves = np.empty(rows.shape, np.float16)
    for start in range(0, len(rows), 4096):
        part = np.asarray(rows[start : start + 4096], np.float64)
        largest = np.abs(part).max(axis=1, keepdims=True, initial=0.0)
        halves[start : start + 4096] = unit_rows(part / np.where(largest > 0, largest, 1.0))  # no square overflows
    return halves


def check_rows(features: npt.ArrayLike | None, n: int, n_features: int | None) -> Features | None:
    """Return the rows to store for ``n`` items, or None if the collection keeps no features."""
    if n_features is None:
        if features is not None:
            raise GannetError("this collection keeps no features; make it again with `gannet index --keep-features`")
        return None
    if features is None:
        raise GannetError("this collection keeps features: pass the features of the items too")
    rows = np.asarray(features)
    if rows.shape != (n, n_features) or rows.dtype.kind not in "fiu":
        raise GannetError(f"features must be numbers of shape ({n}, {n_features}), not {rows.dtype} of {rows.shape}")
    halves = rows if rows.dtype == np.float16 else half_unit(rows)
    if not np.isfinite(halves).all():
        raise GannetError("the features hold NaN or infinity: drop or repair those rows")
    return halves


def append(db: sqlite3.Connection, ids: Ids, rows: Features) -> None:
    """Store ``rows (n, d)`` under ``ids (n,)``."""
    packed = (row.astype("<f2").tobytes() for row in rows)
    values = ((id_, data, zlib.crc32(data)) for id_, data in zip(ids.tolist(), packed, strict=True))
    db.executemany("INSERT INTO features VALUES (?, ?, ?)", values)


def remove(db: sqlite3.Connection, ids: Ids) -> None:
    """Remove the rows of ``ids (n,)``."""
    db.executemany("DELETE FROM features WHERE id = ?", ((id_,) for id_ in ids.tolist()))


def select(db: sqlite3.Connection, ids: Ids, n_features: int) -> Features:
    """Return the rows ``(n, d)`` of ``ids (n,)``, in their order; all must be stored."""
    rows = list(rows_in(db, "SELECT id, data, checksum FROM features WHERE id", np.unique(ids).tolist()))
    found = {id_: _decode(id_, data, checksum, n_features) for id_, data, checksum in rows}
    missing = [id_ for id_ in ids.tolist() if id_ not in found]
    if missing:
        raise DamagedError(f"item {missing[0]} has no features")
    return np.array([found[id_] for id_ in ids.tolist()], np.float16).reshape(-1, n_features)


def check(db: sqlite3.Connection, ids: Iterable[int], n_features: int) -> None:
    """Compare all rows with their checksums and with the items."""
    rows = db.execute("SELECT id, data, checksum FROM features ORDER BY id")
    stored = []
    for id_, data, checksum in rows:
        _decode(id_, data, checksum, n_features)
        stored.append(id_)
    if stored != list(ids):
        raise DamagedError(f"its {len(stored)} rows of features do not match its items")


def _decode(id_: int, data: bytes, checksum: int, n_features: int) -> Features:
    sound = isinstance(data, bytes) and len(data) == 2 * n_features
    if not sound or zlib.crc32(data) != checksum:
        raise DamagedError(f"the features of item {id_} do not match their checksum")
    return np.frombuffer(data, "<f2")
