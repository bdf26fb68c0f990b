"""The tables of a collection file by version, the upgrade of older files, and the checksums of rows."""

from __future__ import annotations

import os
import sqlite3
import zlib
from typing import Any, NamedTuple

from gannet.collection.errors import DamagedError

VERSION = 3
"""Version of the files that are written. Files of older versions are read, and upgraded when they are first changed."""
MAX_FEATURES = 1 << 24

_COLLECTION_1 = (
    "CREATE TABLE collection (n_bits INTEGER NOT NULL, model_id TEXT NOT NULL, created TEXT NOT NULL, "
    "changed TEXT NOT NULL, next_id INTEGER NOT NULL)"
)
_ITEMS_1 = "CREATE TABLE items (id INTEGER PRIMARY KEY, path BLOB NOT NULL, digest BLOB)"
_COLLECTION = (
    "CREATE TABLE collection (n_bits INTEGER NOT NULL, model_id TEXT NOT NULL, created TEXT NOT NULL, "
    "changed TEXT NOT NULL, next_id INTEGER NOT NULL, n_features INTEGER, generation INTEGER NOT NULL, "
    "state BLOB NOT NULL, parent BLOB NOT NULL, checksum INTEGER NOT NULL)"
)
_ITEMS = (
    "CREATE TABLE items (id INTEGER PRIMARY KEY, path BLOB NOT NULL, digest BLOB, container INTEGER, size INTEGER, "
    "modified INTEGER, checksum INTEGER NOT NULL)"
)
_ITEM_INDEXES = (
    "CREATE INDEX items_by_path ON items (path)",
    "CREATE INDEX items_by_digest ON items (digest) WHERE digest IS NOT NULL",
)
_MODEL = "CREATE TABLE model (data BLOB NOT NULL)"
_SEGMENTS = (
    "CREATE TABLE segments (number INTEGER PRIMARY KEY, offsets BLOB NOT NULL, codes BLOB NOT NULL, "
    "checksum INTEGER NOT NULL)"
)
_FEATURE_LENGTH_2 = "CREATE TABLE feature_length (n_features INTEGER NOT NULL)"
_FEATURES = "CREATE TABLE features (id INTEGER PRIMARY KEY, data BLOB NOT NULL, checksum INTEGER NOT NULL)"
_ADDED_IN_3 = (
    "CREATE TABLE containers (number INTEGER PRIMARY KEY, path BLOB NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE INDEX items_by_container ON items (container) WHERE container > 0",
    "CREATE TABLE removed (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, path_digest BLOB NOT NULL, "
    "checksum INTEGER NOT NULL)",
    "CREATE INDEX removed_by_digest ON removed (digest)",
    "CREATE TABLE pixels (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, checksum INTEGER NOT NULL)",
    "CREATE TABLE ignored (number INTEGER PRIMARY KEY, ids BLOB NOT NULL, checksum INTEGER NOT NULL)",
)

_SCHEMA_1 = (_COLLECTION_1, _MODEL, _ITEMS_1, *_ITEM_INDEXES, _SEGMENTS)
SCHEMA = (_COLLECTION, _MODEL, _ITEMS, *_ITEM_INDEXES, _SEGMENTS, _FEATURES, *_ADDED_IN_3)
SCHEMAS = {1: _SCHEMA_1, 2: (*_SCHEMA_1, _FEATURE_LENGTH_2, _FEATURES), VERSION: SCHEMA}
"""Tables by version. Versions 1 and 2 are collections without and with features."""


class Header(NamedTuple):
    """The single row of the table ``collection``.

    ``generation`` counts the changes. ``state`` is a random value that every change replaces, and ``parent`` is the
    state before the last change: by these, a write-ahead log is recognized as belonging to its file.
    """

    n_bits: int
    model_id: str
    created: str
    changed: str
    next_id: int
    n_features: int | None
    generation: int
    state: bytes
    parent: bytes

    def next(self) -> Header:
        """Return the header with a new state."""
        return self._replace(generation=self.generation + 1, state=os.urandom(16), parent=self.state)


_HEADER_TYPES = (int, str, str, str, int, int | None, int, bytes, bytes)


def checksum(*values: int | bytes | str | None) -> int:
    """Return a checksum of the values of a row."""
    return zlib.crc32(repr([v.encode() if isinstance(v, str) else v for v in values]).encode())


def version(db: sqlite3.Connection) -> int:
    """Return the version of an open collection file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def read_header(db: sqlite3.Connection) -> Header:
    """Return the header of a file of any version; raise a `DamagedError` if it does not match its checksum."""
    old = version(db)
    if old < VERSION:
        row = db.execute("SELECT n_bits, model_id, created, changed, next_id FROM collection").fetchone()
        length = db.execute(f"SELECT {'n_features FROM feature_length' if old == 2 else 'NULL'}").fetchone()
        values, found = [*(row or ()), *(length or ()), 0, b"", b""], None
        if old == 2 and values[5:6] == [None]:
            raise DamagedError("a required value is missing")
    else:
        *values, found = db.execute("SELECT * FROM collection").fetchone() or (None,)
    if len(values) != len(_HEADER_TYPES) or not all(map(isinstance, values, _HEADER_TYPES)):
        raise DamagedError("a required value is missing")
    if old >= VERSION and found != checksum(*values):
        raise DamagedError("its header does not match its checksum")
    header = Header(*values)
    if header.n_features is not None and not 0 < header.n_features <= MAX_FEATURES:
        raise DamagedError(f"it claims to keep {header.n_features} features per item")
    if header.next_id < 0:
        raise DamagedError(f"its next id is {header.next_id}")
    return header


def write_header(db: sqlite3.Connection, header: Header, *, first: bool = False) -> None:
    """Write the header of a file of the present version; ``first`` if it has none yet."""
    row = (*header, checksum(*header))
    if first:
        db.execute(f"INSERT INTO collection VALUES ({', '.join('?' * len(row))})", row)
    else:
        columns = ", ".join(f"{name} = ?" for name in (*Header._fields, "checksum"))
        db.execute(f"UPDATE collection SET {columns}", row)


def upgrade(db: sqlite3.Connection) -> None:
    """Convert a file of an older version to the present one, within a transaction."""
    header = read_header(db)
    db.create_function("row_checksum", -1, checksum, deterministic=True)
    db.execute("ALTER TABLE items RENAME TO old_items")
    for name in ("items_by_path", "items_by_digest"):
        db.execute(f"DROP INDEX {name}")
    db.execute("DROP TABLE collection")
    if header.n_features is not None:
        db.execute("DROP TABLE feature_length")
    there = {sql for (sql,) in db.execute("SELECT sql FROM sqlite_master")}
    for statement in SCHEMA:
        if statement not in there:
            db.execute(statement)
    db.execute(
        "INSERT INTO items SELECT id, path, digest, NULL, NULL, NULL, "
        "row_checksum(id, path, digest, NULL, NULL, NULL) FROM old_items ORDER BY id"
    )
    db.execute("DROP TABLE old_items")
    write_header(db, header.next(), first=True)
    db.execute(f"PRAGMA user_version = {VERSION}")


def read_checked(values: tuple[Any, ...], what: str) -> tuple[Any, ...]:
    """Return a row without its last value, the checksum of the others; raise a `DamagedError` if they differ."""
    *row, found = values
    if checksum(*row) != found:
        raise DamagedError(f"{what} does not match its checksum")
    return tuple(row)
