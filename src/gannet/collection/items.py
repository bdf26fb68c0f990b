"""Items in a collection file: one row per item with its id, path, content digest and container."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids
from gannet.collection.arguments import checked_digests, checked_ids, decoded_path, encoded_paths
from gannet.collection.errors import DamagedError
from gannet.collection.schema import VERSION, checksum, read_checked, version
from gannet.collection.storage import rows_in
from gannet.collection.transactions import TransactionalFile
from gannet.errors import GannetError

_OWN_FILE = 0
_MOST_SCANNED = 500
_WRONG_INDEX = "its paths or digests do not match their database index"


class Origin(NamedTuple):
    """Where the content of an item is read from.

    ``container`` is the file that has to exist for the item to exist: the archive or matrix that holds it, or the path
    of the item itself; None if it is unknown. ``size`` in bytes and ``modified`` in nanoseconds describe that file at
    the time when the item was read; None if they are unknown, or if a folder holds the item.
    """

    container: str | None = None
    size: int | None = None
    modified: int | None = None


class Item(NamedTuple):
    """An item without its code; ``digest`` is None if the item was added without one."""

    id: int
    path: str
    digest: bytes | None
    origin: Origin = Origin()


class ItemReader(TransactionalFile):
    """An open collection file whose items can be looked up by id, path and digest."""

    def items_at(self, paths: Sequence[str]) -> list[Item]:
        """Return the items with exactly these paths.

        Parameters
        ----------
        paths : sequence of str
            Paths in the form of `os.fsdecode`.

        Returns
        -------
        list of Item
            Ids, paths, digests and origins, in any order.
        """
        names = encoded_paths(paths, len(paths))
        with self._transaction() as db:
            return _items(db, _rows_with(db, "path", names))

    def items_under(self, folder: str) -> list[Item]:
        """Return the items with paths in a folder or in its subfolders.

        Parameters
        ----------
        folder : str
            Path of the folder, in the form of `os.fsdecode`.

        Returns
        -------
        list of Item
            Ids, paths, digests and origins, in any order.
        """
        return self.items_from(folder.rstrip("/") + "/")

    def items_from(self, prefix: str) -> list[Item]:
        """Return the items with paths that begin with a text.

        Parameters
        ----------
        prefix : str
            The text, in the form of `os.fsdecode`, not empty.

        Returns
        -------
        list of Item
            Ids, paths, digests and origins, in any order.
        """
        (first,) = encoded_paths([prefix], 1)
        after = first[:-1] + bytes([first[-1] + 1])
        with self._transaction() as db:
            rows = db.execute(f"{_select(db)} WHERE path >= ? AND path < ?", (first, after))
            items = _items(db, map(_checked, rows))
            count = "SELECT count(*) FROM items NOT INDEXED WHERE path >= ? AND path < ?"
            right = sum(item.path.startswith(prefix) for item in items)
            if right < len(items) or db.execute(count, (first, after)).fetchone()[0] != len(items):
                raise DamagedError(_WRONG_INDEX)
        return items

    def items_in(self, container: str) -> list[Item]:
        """Return the items that an archive or a matrix holds.

        Parameters
        ----------
        container : str
            Path of the file, in the form of `os.fsdecode`.

        Returns
        -------
        list of Item
            Ids, paths, digests and origins, in any order.
        """
        with self._transaction() as db:
            numbers = [number for number, path in _containers(db).items() if path == container]
            return _items(db, map(_checked, rows_in(db, f"{_select(db)} WHERE container", numbers)))

    def containers(self) -> list[str]:
        """Return the paths of the archives and matrices that hold items.

        Returns
        -------
        list of str
            Paths in the form of `os.fsdecode`.
        """
        with self._transaction() as db:
            return list(_containers(db).values())

    def rows_of_unknown_origin(self) -> list[Item]:
        """Return the rows of matrices, named as ``MATRIX#17``, that version 0.1 added without their origins.

        Returns
        -------
        list of Item
            Ids, paths and origins, in any order.
        """
        with self._transaction() as db:
            unknown = "AND container IS NULL" if version(db) == VERSION else ""
            rows = db.execute(f"{_select(db)} WHERE digest IS NULL {unknown}")
            return [item for item in _items(db, map(_checked, rows)) if re.search(r"#\d+\Z", item.path)]

    def find_path(self, path: str) -> Ids:
        """Return the ids of the items with exactly this path.

        Parameters
        ----------
        path : str
            Path in the form of `os.fsdecode`.

        Returns
        -------
        ndarray of shape (m,), dtype int64
            Ids, ascending.
        """
        (name,) = encoded_paths([path], 1)
        with self._transaction() as db:
            return np.array(sorted(row[0] for row in _rows_with(db, "path", [name])), np.int64)

    def find_digests(self, digests: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return the ids of the items with these content digests.

        Parameters
        ----------
        digests : sequence of bytes
            Digests, as given to `add`.

        Returns
        -------
        dict of bytes to list of int
            Ids, ascending, by digest; digests that no item has are left out.
        """
        found: dict[bytes, list[int]] = {}
        for item in self.items_with(digests):
            if item.digest is not None:
                found.setdefault(item.digest, []).append(item.id)
        return {digest: sorted(ids) for digest, ids in found.items()}

    def items_with(self, digests: Sequence[bytes]) -> list[Item]:
        """Return the items with these content digests.

        Parameters
        ----------
        digests : sequence of bytes
            Digests, as given to `add`.

        Returns
        -------
        list of Item
            Ids, paths, digests and origins, in any order.
        """
        wanted = checked_digests(digests, len(digests))
        with self._transaction() as db:
            return _items(db, _rows_with(db, "digest", wanted))

    def items(self, ids: npt.ArrayLike) -> list[Item]:
        """Return items by their ids.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Ids of the items.

        Returns
        -------
        list of Item of length n
            Ids, paths, digests and origins, in the order of the ids.

        Raises
        ------
        GannetError
            If an item does not exist.
        """
        wanted = checked_ids(ids)
        with self._transaction() as db:
            distinct = np.unique(wanted).tolist()
            rows = map(_checked, rows_in(db, f"{_select(db)} WHERE id", distinct))
            found = {item.id: item for item in _items(db, rows)}
        self._refuse([id_ for id_ in distinct if id_ not in found])
        return [found[id_] for id_ in wanted.tolist()]

    def columns_between(self, first: int, stop: int) -> tuple[Ids, list[bytes], list[bytes | None]]:
        """Return the items in a range of ids by columns, which is faster than as `Item` objects.

        Parameters
        ----------
        first, stop : int
            The first id, and the one after the last.

        Returns
        -------
        ids : ndarray of shape (n,), dtype int64
            Ids, ascending.
        paths : list of bytes of length n
            Paths in the form of `os.fsencode`.
        digests : list of (bytes or None) of length n
            Digests; None for items without one.
        """
        with self._transaction() as db:
            rows = db.execute(f"{_select(db)} WHERE id >= ? AND id < ? ORDER BY id", (first, stop))
            checked = [_checked(row) for row in rows]
        return np.array([row[0] for row in checked], np.int64), [row[1] for row in checked], [row[2] for row in checked]

    def path(self, id: int) -> str:
        """Return the path of one item.

        Parameters
        ----------
        id : int
            Id of the item.

        Returns
        -------
        str
            Path in the form of `os.fsdecode`.
        """
        return self.paths([id])[0]

    def paths(self, ids: npt.ArrayLike) -> list[str]:
        """Return the paths of items.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Ids of the items.

        Returns
        -------
        list of str of length n
            Paths in the order of the ids, in the form of `os.fsdecode`.

        Raises
        ------
        GannetError
            If an item does not exist.
        """
        wanted = checked_ids(ids)
        with self._transaction() as db:
            distinct = np.unique(wanted).tolist()
            rows = map(_checked, rows_in(db, f"{_select(db)} WHERE id", distinct))
            found = {row[0]: decoded_path(row[1]) for row in rows}
        self._refuse([id_ for id_ in distinct if id_ not in found])
        return [found[id_] for id_ in wanted.tolist()]

    def _refuse(self, missing: Sequence[int] | Ids) -> None:
        if len(missing):
            first = ", ".join(str(id_) for id_ in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise GannetError(f"{self._file} has no item {first}{more}; nothing was done, check the ids")


def append(
    db: sqlite3.Connection,
    ids: Ids,
    paths: Sequence[bytes],
    digests: Iterable[bytes | None],
    origins: Sequence[Origin] | None = None,
) -> None:
    """Store items under ``ids (n,)``."""
    columns = _origin_columns(db, paths, origins)
    rows = zip(ids.tolist(), paths, digests, columns, strict=True)
    values = ((id_, path, digest, *more) for id_, path, digest, more in rows)
    db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", ((*row, checksum(*row)) for row in values))


def remove(db: sqlite3.Connection, ids: Ids) -> None:
    """Remove the items ``ids (n,)``, and remember the ids of those with a digest."""
    rows = list(map(_checked, rows_in(db, f"{_select(db)} WHERE id", ids.tolist())))
    if len(rows) != len(ids):
        raise DamagedError("its codes and items do not match")
    kept = ((id_, digest, path_digest(path)) for id_, path, digest, *_ in rows if digest is not None)
    db.executemany("INSERT INTO removed VALUES (?, ?, ?, ?)", ((*row, checksum(*row)) for row in kept))
    db.executemany("DELETE FROM items WHERE id = ?", ((id_,) for id_ in ids.tolist()))
    db.executemany("DELETE FROM pixels WHERE id = ?", ((id_,) for id_ in ids.tolist()))


def rename(db: sqlite3.Connection, ids: Ids, paths: Sequence[bytes], origins: Sequence[Origin] | None) -> None:
    """Change the paths and origins of the items ``ids (n,)``, which exist."""
    digests = {row[0]: row[2] for row in map(_checked, rows_in(db, f"{_select(db)} WHERE id", ids.tolist()))}
    if len(digests) != len(set(ids.tolist())):
        raise DamagedError("its codes and items do not match")
    columns = _origin_columns(db, paths, origins)
    rows = ((id_, path, digests[id_], *more) for id_, path, more in zip(ids.tolist(), paths, columns, strict=True))
    db.executemany("REPLACE INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", ((*row, checksum(*row)) for row in rows))


def removed_ids(db: sqlite3.Connection, digests: Sequence[bytes]) -> dict[bytes, dict[int, bytes]]:
    """Return the ids that removed items with these digests had, each with the `path_digest` of its path."""
    found: dict[bytes, dict[int, bytes]] = {}
    if version(db) == VERSION:
        for row in rows_in(db, "SELECT id, digest, path_digest, checksum FROM removed WHERE digest", digests):
            id_, digest, name = read_checked(row, f"the removed item {row[0]}")
            found.setdefault(digest, {})[id_] = name
    return found


def forget_removed(db: sqlite3.Connection, ids: Ids) -> None:
    """Forget that the items ``ids (n,)`` were removed, as they exist again; raise a `GannetError` for other ids."""
    for id_ in ids.tolist():
        if db.execute("DELETE FROM removed WHERE id = ?", (id_,)).rowcount != 1:
            raise GannetError(f"no item {id_} was removed from this collection")


def path_digest(path: bytes) -> bytes:
    """Return a short digest of a path, by which the path of a removed item is recognized without being kept."""
    return hashlib.blake2b(path, digest_size=8).digest()


def all_ids(db: sqlite3.Connection) -> Ids:
    """Return all ids ``(n,)``, ascending, after a check of all rows."""
    return np.fromiter((_checked(row)[0] for row in db.execute(f"{_select(db)} ORDER BY id")), np.int64)


def check_others(db: sqlite3.Connection) -> None:
    """Compare the rows of the other tables with their checksums."""
    if version(db) == VERSION:
        _containers(db)
        for table in ("removed", "pixels", "ignored"):
            for row in db.execute(f"SELECT * FROM {table}"):
                read_checked(row, f"row {row[0]} of the table {table}")


def _select(db: sqlite3.Connection) -> str:
    """Return the query for the rows of items; older versions have neither origins nor checksums."""
    more = "container, size, modified, checksum" if version(db) == VERSION else "NULL, NULL, NULL"
    return f"SELECT id, CAST(path AS BLOB), digest, {more} FROM items"


def _checked(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the columns of an item before the checksum, after a comparison; older versions have none."""
    if len(row) == 7:
        row = read_checked(row, f"item {row[0]}")
    if not isinstance(row[1], bytes):
        raise DamagedError(f"item {row[0]} has no path")
    return row


def _rows_with(db: sqlite3.Connection, column: str, values: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """Return the rows of which the column ``path`` or ``digest`` has one of some values.

    A database index with a flipped bit may not have a value, or have it for another row. Values that are not found are
    therefore looked up in the rows themselves, unless there are so many that this would take long.
    """
    rows = list(map(_checked, rows_in(db, f"{_select(db)} WHERE {column}", values)))
    found = {row[("id", "path", "digest").index(column)] for row in rows}
    missing = list(set(values) - found)
    scan = f"SELECT 1 FROM items NOT INDEXED WHERE {column}"
    if not found <= set(values) or (len(missing) <= _MOST_SCANNED and any(rows_in(db, scan, missing))):
        raise DamagedError(_WRONG_INDEX)
    return rows


def _items(db: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> list[Item]:
    containers = _containers(db)
    items = []
    for id_, path, digest, number, size, modified in rows:
        name = decoded_path(path)
        container = name if number == _OWN_FILE else None if number is None else containers.get(number)
        items.append(Item(id_, name, digest, Origin(container, size, modified)))
    return items


def _containers(db: sqlite3.Connection) -> dict[int, str]:
    """Return the paths of the containers by number."""
    if version(db) < VERSION:
        return {}
    rows = (read_checked(row, f"container {row[0]}") for row in db.execute("SELECT * FROM containers"))
    return {number: decoded_path(path) for number, path in rows}


def _origin_columns(
    db: sqlite3.Connection, paths: Sequence[bytes], origins: Sequence[Origin] | None
) -> list[tuple[int | None, int | None, int | None]]:
    """Return the columns ``container``, ``size`` and ``modified`` of items; new containers are stored."""
    if origins is None:
        return [(None, None, None)] * len(paths)
    numbers = {path: number for number, path in _containers(db).items()}
    columns = []
    for path, (container, size, modified) in zip(paths, origins, strict=True):
        number: int | None = None
        if container is not None:
            (name,) = encoded_paths([container], 1)
            if name == path:
                number = _OWN_FILE
            elif container in numbers:
                number = numbers[container]
            else:
                number = numbers[container] = max(numbers.values(), default=0) + 1
                db.execute("INSERT INTO containers VALUES (?, ?, ?)", (number, name, checksum(number, name)))
        columns.append((number, size, modified))
    return columns
