"""What a collection remembers beside its items: removed ids, ignored groups and digests of pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from gannet.collection import items as stored_items
from gannet.collection.arguments import checked_ids
from gannet.collection.items import ItemReader
from gannet.collection.schema import VERSION, checksum, read_checked, version
from gannet.collection.storage import rows_in


class SideTables(ItemReader):
    """An open collection file, with the data that it stores besides its items."""

    def removed_ids(self, digests: Sequence[bytes]) -> dict[bytes, dict[int, bytes]]:
        """Return the ids that removed items had, by the digests of their content.

        Parameters
        ----------
        digests : sequence of bytes
            Digests, as given to `add`.

        Returns
        -------
        dict of bytes to dict of int to bytes
            Ids by digest, each with the result of `gannet.collection.items.path_digest` for the path of the item.
        """
        with self._transaction() as db:
            return stored_items.removed_ids(db, digests)

    def repeated_ids(self) -> list[int]:
        """Return the ids of all items that have the same content digest as another item.

        Returns
        -------
        list of int
            Ids, ascending.
        """
        query = "SELECT digest FROM items WHERE digest IS NOT NULL GROUP BY digest HAVING count(*) > 1"
        with self._transaction() as db:
            return [id_ for (id_,) in db.execute(f"SELECT id FROM items WHERE digest IN ({query}) ORDER BY id")]

    def ignore(self, ids: npt.ArrayLike) -> None:
        """Remember that some items are not duplicates of each other.

        Parameters
        ----------
        ids : array-like of int of shape (n,)
            Ids of the items.

        Raises
        ------
        GannetError
            If an item does not exist; nothing is changed then.
        """
        wanted = np.unique(checked_ids(ids))
        with self._transaction(write=True) as db:
            self.items(wanted)
            (last,) = db.execute("SELECT coalesce(max(number), 0) FROM ignored").fetchone()
            row = (last + 1, wanted.astype("<i8").tobytes())
            db.execute("INSERT INTO ignored VALUES (?, ?, ?)", (*row, checksum(*row)))

    def ignored(self) -> list[frozenset[int]]:
        """Return the sets of ids that were given to `ignore`.

        Returns
        -------
        list of frozenset of int
            The sets, in the order in which they were given.
        """
        with self._transaction() as db:
            if version(db) < VERSION:
                return []
            rows = [
                read_checked(row, "an ignored group") for row in db.execute("SELECT * FROM ignored ORDER BY number")
            ]
        return [frozenset(np.frombuffer(ids, "<i8").tolist()) for _, ids in rows]

    def pixel_digests(self, ids: npt.ArrayLike) -> dict[int, bytes]:
        """Return the stored digests of the pixels of items.

        Parameters
        ----------
        ids : array-like of int of shape (n,)
            Ids of the items.

        Returns
        -------
        dict of int to bytes
            Digests by id.
        """
        with self._transaction() as db:
            if version(db) < VERSION:
                return {}
            rows = rows_in(db, "SELECT id, digest, checksum FROM pixels WHERE id", checked_ids(ids).tolist())
            return dict(read_checked(row, f"the pixels of item {row[0]}") for row in rows)

    def store_pixel_digests(self, digests: Mapping[int, bytes]) -> None:
        """Store the digests of the pixels of items.

        Parameters
        ----------
        digests : mapping of int to bytes
            Digests by id. Items that do not exist are left out.
        """
        with self._transaction(write=True) as db:
            there = {id_ for (id_,) in rows_in(db, "SELECT id FROM items WHERE id", list(digests))}
            rows = [(id_, digest) for id_, digest in digests.items() if id_ in there]
            db.executemany("REPLACE INTO pixels VALUES (?, ?, ?)", ((*row, checksum(*row)) for row in rows))
