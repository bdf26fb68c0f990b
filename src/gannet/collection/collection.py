"""The collection: one file with codes, the paths of their images, and the model that made them."""

from __future__ import annotations

import datetime
import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids, check_codes, n_bytes
from gannet.collection import feature_rows as stored_features
from gannet.collection import items as stored_items
from gannet.collection import segments, storage, verification
from gannet.collection.arguments import checked_digests, checked_ids, encoded_paths
from gannet.collection.errors import DamagedError
from gannet.collection.items import Origin
from gannet.collection.schema import Header, read_header, write_header
from gannet.collection.side_tables import SideTables
from gannet.collection.stored_codes import Searcher, StoredCodes
from gannet.errors import GannetError
from gannet.index import DEFAULT_INDEX, Index, IndexFactory, index_factory

if TYPE_CHECKING:
    from gannet.model import Model


_LARGEST_ID = 2**63 - 1


class Collection(SideTables):
    """Codes, ids, paths and content digests of images, and their model, in one file.

    Make a collection with `create` or `open`, and close it with `close` or a ``with`` block.

    The file is an SQLite database. Every call that changes it is one transaction: either the whole change is on the
    disk when the call returns, or nothing has changed, also after a kill or a power cut. An interrupted change is
    undone when the file is next opened. `atomic` joins several calls into one transaction.

    Several programs on one machine may have the file open, and one at a time changes it; meanwhile, the others read
    the state before the change. On a network drive, only one machine may use the file while it is changed. A
    `Collection` may be used from several threads. Every method raises `GannetError`, with a one-line message, for bad
    input and if the file cannot be read or written. Nothing in the file is ever executed or unpickled.

    Parameters
    ----------
    file : Path
        File of the collection. `create` and `open` pass this and the other arguments.
    db : Connection
        Connection to the file.
    make_index : callable
        Makes an index over codes by ``make_index(codes, n_bits, ids=ids)``; see `gannet.index.protocol.Index`.
    timeout : float
        Seconds to wait while another program uses the file.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.
    model_id : str
        SHA-256 of the model file in hexadecimal.
    n_features : int or None
        Length of the features that the collection keeps for re-ranking, or None if it keeps none.
    index_factory : callable
        The argument ``make_index``.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gannet import Collection
    >>> from gannet.encoders import Linear
    >>> from gannet.model import Model
    >>> model = Model(Linear(np.zeros(2, np.float32), np.eye(2, 8, dtype=np.float32), np.zeros(8, np.float32)), "lsh")
    >>> with (
    ...     tempfile.TemporaryDirectory() as folder,
    ...     Collection.create(f"{folder}/photos.gannet", model) as collection,
    ... ):
    ...     ids = collection.add(np.array([[0], [255]], np.uint8), ["a.jpg", "b.jpg"])
    ...     distances, nearest = collection.index().search(collection.codes([1]), k=1)
    ...     collection.paths(nearest[0])
    ['b.jpg']
    """

    def __init__(self, file: Path, db: storage.Connection, make_index: IndexFactory, timeout: float) -> None:
        super().__init__(file, db, timeout)
        self.index_factory = make_index
        with self._transaction() as db:
            header = read_header(db)
        self.n_bits, self.model_id, self.n_features = header.n_bits, header.model_id, header.n_features
        self._width = n_bytes(self.n_bits)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        model: Model,
        overwrite: bool = False,
        n_features: int | None = None,
        *,
        index: str | IndexFactory = DEFAULT_INDEX,
        timeout: float = storage.TIMEOUT,
    ) -> Collection:
        """Create an empty collection and open it; the file appears at once and complete.

        Parameters
        ----------
        path : path-like
            File to create.
        model : gannet.model.Model
            The model whose codes the collection will hold. It is stored in the file.
        overwrite : bool, default=False
            Whether to replace an existing file.
        n_features : int, default=None
            Length of the features to keep for re-ranking; by default none are kept.
        index : str, type or callable, default="hamming"
            See `open`.
        timeout : float, default=30.0
            See `open`.

        Returns
        -------
        Collection
            The new collection, open for changes.

        Raises
        ------
        GannetError
            If the file exists and ``overwrite`` is false, or if it cannot be written.
        """
        make_index = index_factory(index)
        n_bytes(model.n_bits)
        now = _now()
        data = model.to_bytes()
        model_id = hashlib.sha256(data).hexdigest()
        header = Header(model.n_bits, model_id, now, now, 0, n_features, 0, os.urandom(16), b"")
        storage.create(Path(path), header, data, overwrite, timeout)
        return cls.open(path, index=make_index, timeout=timeout)

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        readonly: bool = False,
        *,
        index: str | IndexFactory = DEFAULT_INDEX,
        timeout: float = storage.TIMEOUT,
    ) -> Collection:
        """Open an existing collection.

        Parameters
        ----------
        path : path-like
            File of the collection. It can be read even if its permissions do not allow writing.
        readonly : bool, default=False
            Whether this object refuses to change the file.
        index : str, type or callable, default="hamming"
            Index that `index` returns: a name (see `gannet.index.get_index`), a class, or a function that is called
            like one. It is not stored in the file.
        timeout : float, default=30.0
            Seconds to wait while another program uses the file.

        Returns
        -------
        Collection
            The open collection.

        Raises
        ------
        GannetError
            If the file is no collection or cannot be read, or if there is no such index.
        """
        make_index = index_factory(index)
        file = Path(path)
        db = storage.connect(file, readonly, timeout)
        try:
            return cls(file, db, make_index, timeout)
        except BaseException:
            db.close()
            raise

    def add(
        self,
        codes: npt.ArrayLike,
        paths: Sequence[str],
        digests: Sequence[bytes] | None = None,
        *,
        features: npt.ArrayLike | None = None,
        model_id: str | None = None,
        origins: Sequence[Origin] | None = None,
        ids: npt.ArrayLike | None = None,
    ) -> Ids:
        """Add items, all of them or none.

        Every call syncs the disk, so add many items at once; for millions, about 100,000 per call.

        Parameters
        ----------
        codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        paths : sequence of str of length n
            Paths in the form of `os.fsdecode`; several items may have the same path.
        digests : sequence of bytes of length n, default=None
            Digests of the images' content; 16 bytes are enough.
        features : array-like of shape (n, n_features), default=None
            Features for re-ranking; required if the collection keeps features, and refused otherwise.
        model_id : str, default=None
            Id of the model that made the codes (`gannet.model.Model.id`), to be compared with the collection's.
        origins : sequence of Origin of length n, default=None
            Where each item's content is read from (`gannet.collection.items.Origin`).
        ids : array-like of int of shape (n,), ascending, default=None
            Ids that removed items with the same content had, or ids that no item had. By default, the next ids.

        Returns
        -------
        ndarray of shape (n,), dtype int64
            Ids of the items, ascending. An id is never given to other content, even after its item was removed.

        Raises
        ------
        GannetError
            If an argument has another shape or type, if the codes were made with another model, or if one of ``ids``
            belongs to an item, or belonged to other content.
        """
        if model_id is not None:
            self.check_model(model_id)
        packed = check_codes(codes, self.n_bits)
        n = len(packed)
        names = encoded_paths(paths, n)
        marks: Iterable[bytes | None] = [None] * n if digests is None else checked_digests(digests, n)
        halves = stored_features.check_rows(features, n, self.n_features)
        with self._transaction(write=True) as db:
            header = read_header(db)
            if ids is None:
                if header.next_id > _LARGEST_ID - n:
                    raise GannetError(f"no ids are left in {self._file} for {n:,} items: the next is {header.next_id}")
                given = np.arange(header.next_id, header.next_id + n, dtype=np.int64)
                header = header._replace(next_id=header.next_id + n)
            else:
                given = checked_ids(ids)
                if len(given) != n or (np.diff(given) <= 0).any():
                    raise GannetError(f"ids must be {n} ascending ids, all of removed items or all new")
                if n and given[0] >= header.next_id:
                    header = header._replace(next_id=int(given[-1]) + 1)
                else:
                    stored_items.forget_removed(db, given)
            stored_items.append(db, given, names, marks, origins)
            segments.insert(db, given, packed)
            if halves is not None:
                stored_features.append(db, given, halves)
            write_header(db, header._replace(changed=_now()))
        return given

    def check_model(self, model_id: str) -> None:
        """Check that a model is the collection's.

        Parameters
        ----------
        model_id : str
            Id of the model (`gannet.model.Model.id`).

        Raises
        ------
        GannetError
            If the collection has another model, so that codes of the two cannot be compared.
        """
        if model_id != self.model_id:
            raise GannetError(
                f"{self._file} was made with another model ({self.model_id[:12]}, not {model_id[:12]}): their codes "
                "cannot be compared; use the collection's own, or make one with `gannet index`"
            )

    def remove(self, ids: npt.ArrayLike) -> int:
        """Remove items; the file does not shrink, but later additions use the space.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Ids of the items; repeated ids count once.

        Returns
        -------
        int
            Number of removed items.

        Raises
        ------
        GannetError
            If an item does not exist; nothing is removed then.
        """
        wanted = np.unique(checked_ids(ids))
        with self._transaction(write=True) as db:
            self._refuse(segments.remove(db, self._width, wanted))
            stored_items.remove(db, wanted)
            if self.n_features is not None:
                stored_features.remove(db, wanted)
            write_header(db, read_header(db)._replace(changed=_now()))
        return len(wanted)

    def rename(self, ids: npt.ArrayLike, paths: Sequence[str], origins: Sequence[Origin] | None = None) -> None:
        """Change the paths and origins of items.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Distinct ids of the items.
        paths : sequence of str of length n
            Their new paths.
        origins : sequence of Origin of length n, default=None
            Where their content is read from; unknown if None.

        Raises
        ------
        GannetError
            If an item does not exist; nothing is changed then.
        """
        wanted = checked_ids(ids)
        names = encoded_paths(paths, len(wanted))
        with self._transaction(write=True) as db:
            self._refuse(np.setdiff1d(wanted, segments.select(db, self._width, np.unique(wanted))[0]))
            stored_items.rename(db, wanted, names, origins)
            write_header(db, read_header(db)._replace(changed=_now()))

    @property
    def state(self) -> str:
        """Text that differs after every change; read from the file on each access."""
        with self._transaction() as db:
            header = read_header(db)
            return f"{header.generation}-{header.state.hex()}"

    @property
    def ids(self) -> Ids:
        """All ids ``(n,)`` int64, ascending; read from the file on each access."""
        with self._transaction() as db, storage.small_cache(db):
            return segments.read_ids(db, self._width).all()

    def codes(self, ids: npt.ArrayLike | None = None) -> Codes:
        """Return codes.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,), default=None
            Ids of the items, in any order; by default all items, in the order of `ids`. If other programs may change
            the file, read `ids` and the codes in one `snapshot`.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
            Packed codes in the order of the ids.

        Raises
        ------
        GannetError
            If an item does not exist.
        """
        if ids is None:
            return self._read_codes().codes
        wanted = checked_ids(ids)
        distinct, position = np.unique(wanted, return_inverse=True)
        with self._transaction() as db:
            found, codes = segments.select(db, self._width, distinct)
        self._refuse(np.setdiff1d(distinct, found, assume_unique=True))
        return codes[position]

    def features(self, ids: npt.ArrayLike) -> npt.NDArray[np.float16]:
        """Return the features of items, as kept for re-ranking.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Ids of the items.

        Returns
        -------
        ndarray of shape (n, n_features), dtype float16
            Features at unit length, in the order of the ids.

        Raises
        ------
        GannetError
            If the collection keeps no features, or if an item does not exist.
        """
        if self.n_features is None:
            raise GannetError(f"{self._file} keeps no features; make it again with `gannet index --keep-features`")
        wanted = checked_ids(ids)
        with self._transaction() as db:
            self._refuse(np.setdiff1d(wanted, segments.select(db, self._width, np.unique(wanted))[0]))
            return stored_features.select(db, wanted, self.n_features)

    def index(self) -> Index:
        """Return an index over all codes.

        Returns
        -------
        Index
            A new index of the type given to `open` or `create`; later changes of the collection do not affect it.
        """
        return self._read_codes().index(self.index_factory)

    def searcher(self) -> Searcher:
        """Return an index over all codes, with the codes of what it finds.

        Returns
        -------
        Searcher
            The index of `index`, and a function that looks up codes by id without reading the file.
        """
        stored = self._read_codes()
        return Searcher(stored.index(self.index_factory), stored.at)

    def model(self) -> bytes:
        """Return the collection's model as a file; `gannet.collection.stored_model.read_model` parses it.

        Returns
        -------
        bytes
            The model file.
        """
        with self._transaction() as db:
            return self._read_model(db)

    def __len__(self) -> int:
        with self._transaction() as db:
            return segments.count(db)

    def info(self) -> dict[str, Any]:
        """Return general information about the collection.

        Returns
        -------
        dict of str to object
            ``items``, ``bits``, ``model_id``, ``created`` and ``changed`` (in ISO 8601, UTC), and ``bytes``.
        """
        with self._transaction() as db:
            header = read_header(db)
            (pages,) = storage.read_row(db, "PRAGMA page_count", int)
            (page_bytes,) = storage.read_row(db, "PRAGMA page_size", int)
            return {
                "items": segments.count(db),
                "bits": self.n_bits,
                "model_id": self.model_id,
                "created": header.created,
                "changed": header.changed,
                "bytes": pages * page_bytes,
            }

    def check(self) -> None:
        """Check the whole file, which takes a few seconds per million items.

        This compares SQLite's own structures, paths and digests with their database indexes, codes with their
        checksums and the items, and the model with ``model_id``.

        Raises
        ------
        GannetError
            If the file is damaged.
        """
        with self._transaction() as db:
            verification.check_parts(db, self.n_bits, self.n_features)
            self._read_model(db)

    def _read_codes(self) -> StoredCodes:
        with self._transaction() as db, storage.small_cache(db):
            return StoredCodes(*segments.read_all(db, self._width), self.n_bits)

    def _read_model(self, db: sqlite3.Connection) -> bytes:
        (model,) = storage.read_row(db, "SELECT data FROM model", bytes)
        if hashlib.sha256(model).hexdigest() != self.model_id:
            raise DamagedError("its model does not match its checksum")
        return cast(bytes, model)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
