"""A check of all parts of a collection file against each other."""

from __future__ import annotations

import sqlite3

import numpy as np

from gannet.codes import check_codes, n_bytes
from gannet.collection import feature_rows, items, segments
from gannet.collection.errors import DamagedError
from gannet.collection.schema import read_header
from gannet.collection.storage import read_row
from gannet.errors import GannetError


def check_parts(db: sqlite3.Connection, n_bits: int, n_features: int | None) -> None:
    """Check everything but the model; raise a `DamagedError` if two parts are inconsistent."""
    # `quick_check` would not compare paths and digests with their database indexes.
    (verdict,) = read_row(db, "PRAGMA integrity_check(1)", str)
    if verdict != "ok":
        raise DamagedError(verdict.splitlines()[-1])
    runs, codes = segments.read_all(db, n_bytes(n_bits))
    ids, stored = runs.all(), items.all_ids(db)
    if not np.array_equal(ids, stored):
        raise DamagedError(f"its {len(ids)} codes and {len(stored)} items do not match")
    items.check_others(db)
    next_id = read_header(db).next_id
    if n_features is not None:
        feature_rows.check(db, ids.tolist(), n_features)
    if len(ids) and ids[-1] >= next_id:
        raise DamagedError(f"item {ids[-1]} is above the next id, {next_id}")
    try:
        check_codes(codes, n_bits)
    except GannetError as error:
        raise DamagedError(str(error)) from error
