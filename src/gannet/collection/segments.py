"""Codes in a collection file, in segments: the items with ids ``[4096 s, 4096 (s + 1))`` are one row.

One row per code would make millions of codes slow to read and the file large; one blob for all codes would be
rewritten with every added image. With segments, adding an image rewrites at most 4,096 codes (40 KB at 64 bits).
Within a segment an id is stored as its offset, two bytes.
"""

from __future__ import annotations

import itertools
import sqlite3
import zlib
from collections.abc import Iterator

import numpy as np

from gannet.codes import Codes, Ids
from gannet.collection.errors import DamagedError
from gannet.index.id_runs import IdRuns

SIZE = 4096
_LAST = (2**63 - 1) // SIZE
_ROW = "SELECT number, offsets, codes, checksum FROM segments"


def insert(db: sqlite3.Connection, ids: Ids, codes: Codes) -> None:
    """Store ``codes (n, w)`` under ``ids (n,)``, which are ascending and not stored yet."""
    for number, rows in _by_segment(ids):
        old_ids, old_codes = _read(db, number, codes.shape[1])
        all_ids = np.concatenate([old_ids, ids[rows]])
        order = np.argsort(all_ids, kind="stable")
        _write(db, number, all_ids[order], np.concatenate([old_codes, codes[rows]])[order])


def remove(db: sqlite3.Connection, width: int, ids: Ids) -> Ids:
    """Remove the codes of ``ids (n,)``, ascending and distinct; return the ids that were not stored."""
    missing = []
    for number, rows in _by_segment(ids):
        old_ids, old_codes = _read(db, number, width)
        missing.append(np.setdiff1d(ids[rows], old_ids, assume_unique=True))
        keep = ~np.isin(old_ids, ids[rows])
        _write(db, number, old_ids[keep], old_codes[keep])
    return np.concatenate(missing) if missing else ids


def select(db: sqlite3.Connection, width: int, ids: Ids) -> tuple[Ids, Codes]:
    """Return the stored ones of ``ids (n,)``, ascending and distinct, and their codes ``(m, w)``."""
    found = [ids[:0]]
    codes = [np.empty((0, width), np.uint8)]
    for number, rows in _by_segment(ids):
        segment_ids, segment_codes = _read(db, number, width)
        wanted = np.isin(segment_ids, ids[rows])
        found.append(segment_ids[wanted])
        codes.append(segment_codes[wanted])
    return np.concatenate(found), np.concatenate(codes)


def read_ids(db: sqlite3.Connection, width: int) -> IdRuns:
    """Return all ids ``(n,)``, ascending."""
    return IdRuns.of(ids for ids, _ in _read_segments(db, width))


def read_all(db: sqlite3.Connection, width: int) -> tuple[IdRuns, Codes]:
    """Return all ids ``(n,)``, ascending, and codes ``(n, w)``; needs little memory besides these."""
    n = count(db)
    (size,) = db.execute("SELECT coalesce(sum(length(codes)), 0) FROM segments").fetchone()
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    if size != n * width or size > pages * page_bytes:
        raise DamagedError(f"it claims to hold {size} bytes of codes for {n} items")
    codes = np.empty((n, width), np.uint8)
    return IdRuns.of(_fill(db, width, codes)), codes


def _fill(db: sqlite3.Connection, width: int, codes: Codes) -> Iterator[Ids]:
    """Write all codes into ``codes (n, w)``, and yield the ids of one segment at a time."""
    start = 0
    for ids, segment in _read_segments(db, width):
        codes[start : start + len(ids)] = segment
        start += len(ids)
        yield ids


def _read_segments(db: sqlite3.Connection, width: int) -> Iterator[tuple[Ids, Codes]]:
    return (_decode(row, width) for row in db.execute(f"{_ROW} ORDER BY number"))


def count(db: sqlite3.Connection) -> int:
    """Return the number of stored codes, without reading them."""
    return int(db.execute("SELECT coalesce(sum(length(offsets) / 2), 0) FROM segments").fetchone()[0])


def _by_segment(ids: Ids) -> Iterator[tuple[int, slice]]:
    """Yield the number of each segment and the slice of the ascending ``ids`` that it contains."""
    numbers, starts = np.unique(ids // SIZE, return_index=True)
    bounds = itertools.pairwise([*starts.tolist(), len(ids)])
    for number, (start, stop) in zip(numbers.tolist(), bounds, strict=True):
        yield number, slice(start, stop)


def _read(db: sqlite3.Connection, number: int, width: int) -> tuple[Ids, Codes]:
    row = db.execute(f"{_ROW} WHERE number = ?", (number,)).fetchone()
    return _decode(row, width) if row else (np.empty(0, np.int64), np.empty((0, width), np.uint8))


def _decode(row: tuple[int, bytes, bytes, int], width: int) -> tuple[Ids, Codes]:
    number, offsets, codes, checksum = row
    # A flipped bit would give wrong results; the check takes a tenth of a second for 10 million codes.
    sound = isinstance(offsets, bytes) and isinstance(codes, bytes) and len(codes) * 2 == len(offsets) * width
    if not sound or _checksum(number, offsets, codes) != checksum:
        raise DamagedError(f"the codes in segment {number} do not match their checksum")
    places = np.frombuffer(offsets, "<u2").astype(np.int64)
    if not 0 <= number <= _LAST or (places >= SIZE).any() or (np.diff(places) <= 0).any():
        raise DamagedError(f"the ids in segment {number} are not those of a segment")
    return places + number * SIZE, np.frombuffer(codes, np.uint8).reshape(-1, width)


def _write(db: sqlite3.Connection, number: int, ids: Ids, codes: Codes) -> None:
    if len(ids) == 0:
        db.execute("DELETE FROM segments WHERE number = ?", (number,))
        return
    offsets, packed = (ids - number * SIZE).astype("<u2").tobytes(), codes.tobytes()
    row = (number, offsets, packed, _checksum(number, offsets, packed))
    db.execute("REPLACE INTO segments VALUES (?, ?, ?, ?)", row)


def _checksum(number: int, offsets: bytes, codes: bytes) -> int:
    return zlib.crc32(codes, zlib.crc32(offsets, zlib.crc32(b"%d" % number)))
