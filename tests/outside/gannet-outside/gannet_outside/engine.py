"""An engine."""

import sqlite3

import numpy as np

from gannet.engines import Engine, Header, Rows
from gannet.engines.engine import as_rectangle


class SQLite(Engine):
    """A file of SQLite, which compares codes by a function."""

    name = "sqlite"

    def __init__(self, address, writable):
        super().__init__(address, writable)
        self.db = sqlite3.connect(address.place, check_same_thread=False)
        self.db.create_function("distance", 2, lambda a, b: (int.from_bytes(a) ^ int.from_bytes(b)).bit_count())

    def rows(self, query, *values):
        with self.explained(sqlite3.Error), self.db:
            return self.db.execute(query, values).fetchall()

    def columns(self, query, *values):
        return np.array(self.rows(query, *values), np.int64).reshape(-1, 2).T

    def header(self):
        if not self.rows("SELECT 1 FROM sqlite_master WHERE name = 'header'"):
            return None
        return Header.from_json(self.rows("SELECT header FROM header")[0][0], self.address)

    def create(self, header, model):
        self.rows("CREATE TABLE items (id INTEGER PRIMARY KEY, code BLOB, path BLOB, digest BLOB, mark INTEGER)")
        self.rows("CREATE TABLE header (header TEXT, model BLOB)")
        self.rows("INSERT INTO header VALUES (?, ?)", header.to_json(), model)

    def write_header(self, header):
        self.rows("UPDATE header SET header = ?", header.to_json())

    def model(self):
        return self.rows("SELECT model FROM header")[0][0]

    def write(self, rows):
        codes = map(bytes, rows.codes)
        values = zip(rows.ids.tolist(), codes, rows.paths, rows.digests, rows.marks.tolist(), strict=True)
        with self.explained(sqlite3.Error), self.db:
            self.db.executemany("REPLACE INTO items VALUES (?, ?, ?, ?, ?)", values)

    def delete(self, ids):
        with self.explained(sqlite3.Error), self.db:
            self.db.executemany("DELETE FROM items WHERE id = ?", ((id_,) for id_ in ids.tolist()))

    def finish(self):
        pass

    def marks(self, first, stop):
        return tuple(self.columns("SELECT id, mark FROM items WHERE id >= ? AND id < ? ORDER BY id", first, stop))

    def read(self, ids):
        numbers = ", ".join(map(str, ids.tolist()))
        found = self.rows(f"SELECT id, code, path, digest FROM items WHERE id IN ({numbers}) ORDER BY id")
        codes = np.array([list(row[1]) for row in found], np.uint8)
        return Rows(np.array([row[0] for row in found]), codes, [row[2] for row in found], [row[3] for row in found])

    def find(self, column, values):
        marks = ", ".join("?" * len(values))
        found = self.rows(f"SELECT id FROM items WHERE {column} IN ({marks}) ORDER BY id", *values)
        return np.array([id_ for (id_,) in found], np.int64)

    def search(self, queries, k):
        query = "SELECT distance(code, ?) AS d, id FROM items ORDER BY d, id LIMIT ?"
        return as_rectangle([self.columns(query, bytes(code), k) for code in queries])

    def radius(self, queries, r):
        query = "SELECT distance(code, ?) AS d, id FROM items WHERE d <= ? ORDER BY d, id"
        return [tuple(self.columns(query, bytes(code), r)) for code in queries]

    def __len__(self):
        return self.rows("SELECT count(*) FROM items")[0][0]

    def close(self):
        self.db.close()
