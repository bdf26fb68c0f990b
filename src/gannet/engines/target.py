"""An exported collection, searched in its engine without the collection file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NoReturn, Self

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids, check_codes, n_bytes
from gannet.collection.arguments import checked_digests, checked_ids, decoded_path, encoded_paths
from gannet.collection.items import Item
from gannet.collection.stored_codes import Searcher
from gannet.engines.engine import Engine, Header
from gannet.errors import GannetError
from gannet.index.protocol import Distances


class MissingItemError(GannetError):
    """The target has no item with this id, or no longer has it."""


class Target:
    """An exported collection in an engine.

    It has what `gannet.search` needs of a collection, and is an index that cannot be changed
    (`gannet.index.protocol.ReadOnlyIndex`). It holds no state besides the header: several programs on several machines
    may search one target.

    Parameters
    ----------
    engine : Engine
        An open engine, which is closed with the target.

    Attributes
    ----------
    engine : Engine
        The argument.
    n_bits : int
        Length of the codes in bits.
    model_id : str
        SHA-256 of the model file in hexadecimal.
    n_features : None
        Features for re-ranking are not exported.

    Raises
    ------
    GannetError
        If nothing was exported to this place, or if the first export is not finished.
    """

    n_features = None

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        header = self._header()
        self.n_bits, self.model_id = header.n_bits, header.model_id

    @property
    def stop(self) -> int:
        """A number above all ids; read from the engine on each access."""
        return self._header().stop

    @property
    def name(self) -> str:
        """Address of the target, without credentials."""
        return str(self.engine.address)

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self.engine)

    def search(self, queries: npt.ArrayLike, k: int) -> tuple[Distances, Ids]:
        """Return the ``k`` nearest codes of each query; see `gannet.Index.search`.

        Parameters
        ----------
        queries : ndarray of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        k : int
            Number of neighbors, 1 or more.

        Returns
        -------
        distances : ndarray of shape (q, min(k, n)), dtype int64
            Hamming distances in bits, ascending in each row.
        ids : ndarray of shape (q, min(k, n)), dtype int64
            Ids of the codes; equal distances are in the order of the ids.
        """
        packed = check_codes(queries, self.n_bits)
        if k < 1:
            raise GannetError(f"k must be 1 or more, not {k}")
        return self.engine.search(packed, k)

    def radius(self, queries: npt.ArrayLike, r: int) -> list[tuple[Distances, Ids]]:
        """Return all codes at most ``r`` bits away from each query; see `gannet.Index.radius`.

        Parameters
        ----------
        queries : ndarray of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        r : int
            Largest distance in bits, 0 or more.

        Returns
        -------
        list of (distances, ids)
            One pair of int64 arrays of shape (hits,) per query, ordered by distance, then by id.
        """
        packed = check_codes(queries, self.n_bits)
        if r < 0:
            raise GannetError(f"the radius must be 0 bits or more, not {r}")
        return self.engine.radius(packed, min(r, self.n_bits))

    def searcher(self) -> Searcher:
        """Return the target as an index, with the codes of what it finds.

        Returns
        -------
        Searcher
            Searches the engine.
        """
        return Searcher(self, self.codes)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Do nothing: an engine that is written to meanwhile may give results of two states.

        Yields
        ------
        None
            The block may read the target.
        """
        yield

    def model(self) -> bytes:
        """Return the model of the exported collection.

        Returns
        -------
        bytes
            The model file.

        Raises
        ------
        GannetError
            If the stored model is damaged.
        """
        data = self.engine.model()
        if hashlib.sha256(data).hexdigest() != self.model_id:
            raise GannetError(f"{self.name} is damaged: its model does not match its checksum; export to another place")
        return data

    def codes(self, ids: npt.ArrayLike) -> Codes:
        """Return the codes of items.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Ids of the items.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
            Packed codes in the order of the ids.

        Raises
        ------
        GannetError
            If an item does not exist.
        """
        wanted = checked_ids(ids)
        distinct, places = np.unique(wanted, return_inverse=True)
        if not len(distinct):
            return np.empty((0, n_bytes(self.n_bits)), np.uint8)
        found, codes = self.engine.codes(distinct)
        self._refuse(np.setdiff1d(distinct, found))
        return codes[places]

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
        distinct, places = np.unique(wanted, return_inverse=True)
        if not len(distinct):
            return []
        rows = self.engine.read(distinct)
        self._refuse(np.setdiff1d(distinct, rows.ids))
        return [decoded_path(rows.paths[place]) for place in places.tolist()]

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
        return self._items("path", names)

    def find_digests(self, digests: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return the ids of the items with these content digests.

        Parameters
        ----------
        digests : sequence of bytes
            Digests of content.

        Returns
        -------
        dict of bytes to list of int
            Ids, ascending, by digest; digests that no item has are left out.
        """
        wanted = checked_digests(digests, len(digests))
        found: dict[bytes, list[int]] = {}
        for item in self._items("digest", wanted):
            found.setdefault(item.digest or b"", []).append(item.id)
        return found

    def features(self, ids: npt.ArrayLike) -> NoReturn:
        """Raise an error: features are not exported.

        Parameters
        ----------
        ids : int or array-like of int of shape (n,)
            Ids of the items.

        Raises
        ------
        GannetError
            Always.
        """
        raise GannetError(f"{self.name} has no features for re-ranking, which are not exported: search the collection")

    def info(self) -> dict[str, Any]:
        """Return general information about the target.

        Returns
        -------
        dict of str to object
            ``items``, ``bits``, ``model_id``, ``created`` and ``changed`` as in the information about the collection
            when it was exported.
        """
        header = self._header()
        return {
            "items": len(self.engine),
            "bits": header.n_bits,
            "model_id": header.model_id,
            "created": header.created,
            "changed": header.changed,
        }

    def _header(self) -> Header:
        header = self.engine.header()
        if header is None:
            raise GannetError(f"{self.name} holds no exported collection: write one with `gannet export`")
        if not header.state:
            raise GannetError(f"the export to {self.name} is not finished: run `gannet export` again")
        return header

    def _items(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> list[Item]:
        ids = self.engine.find(column, values) if values else np.empty(0, np.int64)
        if not len(ids):
            return []
        rows = self.engine.read(ids)
        columns = zip(rows.ids.tolist(), rows.paths, rows.digests, strict=True)
        return [Item(id_, decoded_path(path), digest) for id_, path, digest in columns]

    def _refuse(self, missing: Ids) -> None:
        if len(missing):
            first = ", ".join(map(str, missing[:3].tolist()))
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise MissingItemError(f"{self.name} has no item {first}{more}; check the ids")
