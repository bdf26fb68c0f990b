"""Items in a collection file: one row per item with its id, its path and the digest of its content."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids
from gannet.collection.arguments import checked_digests, checked_ids, decoded_path, encoded_paths
from gannet.collection.storage import DamagedError, rows_in
from gannet.collection.transactions import TransactionalFile
from gannet.errors import GannetError

_ITEM = "SELECT id, CAST(path AS BLOB), digest FROM items"


class Item(NamedTuple):
    """An item without its code; ``digest`` is None if the item was added without one."""

    id: int
    path: str
    digest: bytes | None


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
            Ids, paths and digests, in any order.
        """
        names = encoded_paths(paths, len(paths))
        with self._transaction() as db:
            return list(map(_item, rows_in(db, f"{_ITEM} WHERE path", names)))

    def items_under(self, folder: str) -> list[Item]:
        """Return the items with paths in a folder or in its subfolders.

        Parameters
        ----------
        folder : str
            Path of the folder, in the form of `os.fsdecode`.

        Returns
        -------
        list of Item
            Ids, paths and digests, in any order.
        """
        (prefix,) = encoded_paths([folder.rstrip("/") + "/"], 1)
        after = prefix[:-1] + bytes([prefix[-1] + 1])
        with self._transaction() as db:
            return list(map(_item, db.execute(f"{_ITEM} WHERE path >= ? AND path < ?", (prefix, after))))

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
        with self._transaction() as db:
            return _ids(db.execute("SELECT id FROM items WHERE path = ? ORDER BY id", encoded_paths([path], 1)))

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
        wanted = checked_digests(digests, len(digests))
        found: dict[bytes, list[int]] = {}
        with self._transaction() as db:
            for digest, id_ in rows_in(db, "SELECT digest, id FROM items WHERE digest", wanted):
                found.setdefault(digest, []).append(id_)
        return {digest: sorted(ids) for digest, ids in found.items()}

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
            rows = rows_in(db, "SELECT id, CAST(path AS BLOB) FROM items WHERE id", distinct)
            found = {id_: _path(id_, path) for id_, path in rows}
        self._refuse([id_ for id_ in distinct if id_ not in found])
        return [found[id_] for id_ in wanted.tolist()]

    def _refuse(self, missing: Sequence[int] | Ids) -> None:
        if len(missing):
            first = ", ".join(str(id_) for id_ in missing[:3])
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise GannetError(f"{self._file} has no item {first}{more}; nothing was done, check the ids")


def append(db: sqlite3.Connection, ids: Ids, paths: Sequence[bytes], digests: Iterable[bytes | None]) -> None:
    """Store items under ``ids (n,)``."""
    db.executemany("INSERT INTO items VALUES (?, ?, ?)", zip(ids.tolist(), paths, digests, strict=True))


def remove(db: sqlite3.Connection, ids: Ids) -> None:
    """Remove the items ``ids (n,)``."""
    db.executemany("DELETE FROM items WHERE id = ?", ((id_,) for id_ in ids.tolist()))


def rename(db: sqlite3.Connection, ids: Ids, paths: Sequence[bytes]) -> None:
    """Change the paths of the items ``ids (n,)``."""
    db.executemany("UPDATE items SET path = ? WHERE id = ?", zip(paths, ids.tolist(), strict=True))


def all_ids(db: sqlite3.Connection) -> Ids:
    """Return all ids ``(n,)``, ascending."""
    return _ids(db.execute("SELECT id FROM items ORDER BY id"))


def _ids(rows: Iterable[tuple[int]]) -> Ids:
    return np.fromiter((id_ for (id_,) in rows), np.int64)


def _item(row: tuple[int, bytes | None, bytes | None]) -> Item:
    id_, path, digest = row
    return Item(id_, _path(id_, path), digest)


def _path(id_: int, path: bytes | None) -> str:
    if path is None:
        raise DamagedError(f"item {id_} has no path")
    return decoded_path(path)
