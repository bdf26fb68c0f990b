"""Export of a collection to an engine, first or again: every block of ids is compared, and differences are written."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gannet.codes import Codes, Ids
from gannet.collection.collection import Collection
from gannet.engines import open_engine
from gannet.engines.engine import Engine, Header, Rows
from gannet.errors import GannetError
from gannet.index import HammingIndex
from gannet.support.progress import progress

RECALL_AT = 10
RECALL_QUERIES = 100


@dataclass(frozen=True)
class Exported:
    """What an export has written.

    Attributes
    ----------
    target : str
        Address of the target, without credentials.
    items : int
        Number of items that the target now holds.
    exact : bool
        Whether searches of this address are exact.
    recall : float or None
        Of approximate searches: the share of the 10 nearest items that were found, measured with 100 of the
        collection's own codes; None for exact searches and without items.
    added, removed, renamed : int
        Number of items that were written for the first time, deleted, and given another path.
    """

    target: str
    items: int
    exact: bool
    recall: float | None
    added: int
    removed: int
    renamed: int

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name.

        Returns
        -------
        dict of str to object
            What `gannet export --json` prints.
        """
        return asdict(self)


def export(path: str | os.PathLike[str], target: str, sync: bool = False) -> Exported:
    """Export a collection to an engine, or bring an earlier export up to date.

    Codes, ids, paths, digests and the model are written; features that the collection keeps are not. An export that was
    interrupted is continued by the next one. A repeated export writes only what differs.

    Parameters
    ----------
    path : path-like
        File of the collection.
    target : str
        Address of the target, such as ``duckdb:photos.duckdb``; see `gannet.engines.open_engine`.
    sync : bool, default=False
        Whether a finished export of an earlier state of the collection is brought up to date; otherwise, it is an
        error.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    GannetError
        If the target holds codes of another model or items of another collection, if it holds an earlier state and
        ``sync`` is false, if an id is too large for the engine, or if a file or the engine cannot be used.

    Examples
    --------
    Export a collection to a file of DuckDB, and search it there::

        export("photos.gannet", "duckdb:photos.duckdb")
        with open_target("duckdb:photos.duckdb") as target:
            answers = gannet.search(target, ["query.jpg"])
    """
    with Collection.open(path, readonly=True) as collection:
        engine = open_engine(target, writable=True)
        try:
            return _Export(collection, engine).run(sync)
        finally:
            engine.close()


class _Export:
    """One export of an open collection to an open engine."""

    def __init__(self, collection: Collection, engine: Engine) -> None:
        self._collection, self._engine = collection, engine
        self._added = self._removed = self._renamed = 0

    def run(self, sync: bool) -> Exported:
        with self._collection.snapshot():
            state, info, ids = self._collection.state, self._collection.info(), self._collection.ids
        stop = int(ids.max(initial=-1)) + 1
        if stop - 1 > self._engine.max_id:
            raise GannetError(
                f"{self._engine.address} holds ids up to {self._engine.max_id}, and the collection has {stop - 1}: "
                "export to another engine, or make the collection again with `gannet index`"
            )
        header = self._begin(state, info["created"], stop, sync)
        if header.pending:
            self._write(header)
        self._engine.finish()
        if header.pending:
            self._engine.write_header(header.finished(info["changed"], stop))
        exact = self._engine.exact
        recall = None if exact or not len(ids) else measure_recall(self._collection, self._engine)
        counts = self._added, self._removed, self._renamed
        return Exported(str(self._engine.address), len(self._engine), exact, recall, *counts)

    def _begin(self, state: str, created: str, stop: int, sync: bool) -> Header:
        """Return the header of the target, whose ``pending`` is empty if there is nothing to write."""
        collection, engine = self._collection, self._engine
        header = engine.header()
        if header is None:
            header = Header(collection.n_bits, collection.model_id, created, stop=stop, pending=state)
            engine.create(header, collection.model())
            return header
        if header.model_id != collection.model_id:
            raise GannetError(
                f"{engine.address} holds codes of another model ({header.model_id[:12]}, not "
                f"{collection.model_id[:12]}), which cannot be compared: export to another place"
            )
        if header.created != created:
            raise GannetError(f"{engine.address} holds the items of another collection: export to another place")
        if header.state == state and not header.pending:
            return header
        if header.state and not header.pending and not sync:
            raise GannetError(
                f"{engine.address} holds an earlier state of {collection.name}: bring it up to date with --sync"
            )
        if header.pending != state:
            # Ids that an interrupted export wrote may be above those that the collection has now.
            header = replace(header, stop=max(stop, header.stop), pending=state, position=0)
            engine.write_header(header)
        return header

    def _write(self, header: Header) -> None:
        """Compare every block of ids from the header's position on, and write what differs."""
        block, stop = self._engine.block, header.stop
        with progress(stop, "exporting", "item") as bar:
            bar.update(header.position)
            for first in range(header.position, stop, block):
                self._write_block(first, min(first + block, stop))
                self._engine.write_header(replace(header, position=first + block))
                bar.update(min(block, stop - first))

    def _write_block(self, first: int, stop: int) -> None:
        rows = read_rows(self._collection, first, stop)
        ids, marks = self._engine.marks(first, stop)
        gone = np.setdiff1d(ids, rows.ids, assume_unique=True)
        if len(gone):
            self._engine.delete(gone)
        stored = np.isin(rows.ids, ids, assume_unique=True)
        same = stored.copy()
        same[stored] = rows.marks[stored] == marks[np.isin(ids, rows.ids, assume_unique=True)]
        if not same.all():
            self._engine.write(rows.take(np.flatnonzero(~same)))
        self._added += int((~stored).sum())
        self._removed += len(gone)
        self._renamed += int((stored & ~same).sum())


def read_rows(collection: Collection, first: int, stop: int) -> Rows:
    """Return the rows of a collection with ids from ``first`` to before ``stop``."""
    with collection.snapshot():
        ids, paths, digests = collection.columns_between(first, stop)
        return Rows(ids, collection.codes(ids), paths, digests)


def measure_recall(collection: Collection, engine: Engine) -> float:
    """Return the share of the nearest items of the collection's own codes that the engine finds.

    A found item counts if it is as near as the last of the true nearest; the item that is asked for does not count.
    """
    codes, ids = collection.codes(), collection.ids
    places = np.arange(min(RECALL_QUERIES, len(ids))) * len(ids) // min(RECALL_QUERIES, len(ids))
    queries = codes[places]
    exact, _ = HammingIndex(codes, collection.n_bits).search(queries, RECALL_AT + 1)
    distances, found = engine.search(queries, RECALL_AT + 1)
    n = exact.shape[1] - 1
    if n == 0:
        return 1.0
    return float(np.mean([_hits(*row, n) / n for row in zip(exact, distances, found, ids[places], strict=True)]))


def _hits(exact: Codes | Ids, distances: Ids, found: Ids, own: int, n: int) -> int:
    """Return how many of the first ``n`` items besides ``own`` are as near as the last of the exact ones."""
    others = distances[found != own][:n]
    return int((others <= exact[n]).sum())
