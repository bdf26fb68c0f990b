"""Export of items to an engine, first or again: every block of ids is compared, and differences are written."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from gannet.codes import Codes, Ids
from gannet.data import Skipped
from gannet.engines import open_engine
from gannet.engines.engine import Engine, Header
from gannet.engines.exportable import Edition, Exportable, open_exportable
from gannet.errors import GannetError
from gannet.index import HammingIndex
from gannet.index.protocol import Distances
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
        Of approximate searches: the share of the 10 nearest items that were found, measured with 100 of the exported
        codes; None for exact searches and without items.
    added, removed, renamed : int
        Number of items that were written for the first time, deleted, and given another path.
    skipped : sequence of Skipped
        Items that a folder of codes lacks because they could not be read.
    """

    target: str
    items: int
    exact: bool
    recall: float | None
    added: int
    removed: int
    renamed: int
    skipped: Sequence[Skipped] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, without ``skipped``.

        Returns
        -------
        dict of str to object
            What `gannet export --json` prints.
        """
        return {name: value for name, value in asdict(self).items() if name != "skipped"}


def export(path: str | os.PathLike[str], target: str, sync: bool = False) -> Exported:
    """Export a collection or a folder of codes to an engine, or bring an earlier export up to date.

    Codes, ids, paths, digests and the model are written; features that the collection keeps are not. An export that was
    interrupted is continued by the next one. A repeated export writes only what differs.

    Parameters
    ----------
    path : path-like
        File of the collection, or a complete folder that `gannet.encoding.encode_folder` wrote, which is read one file
        at a time.
    target : str
        Address of the target, such as ``duckdb:photos.duckdb``; see `gannet.engines.open_engine`.
    sync : bool, default=False
        Whether a finished export of an earlier state of the collection, or of a folder of the same sources, is brought
        up to date; otherwise, it is an error.

    Returns
    -------
    Exported
        What was written.

    Raises
    ------
    GannetError
        If the target holds codes of another model or items of another collection, if it holds another state and
        ``sync`` is false, if an id is too large for the engine, or if a file or the engine cannot be used.

    Examples
    --------
    Export a collection to a file of DuckDB, and search it there::

        export("photos.gannet", "duckdb:photos.duckdb")
        with open_target("duckdb:photos.duckdb") as target:
            answers = gannet.search(target, ["query.jpg"])
    """
    with open_exportable(path) as items:
        engine = open_engine(target, writable=True)
        try:
            return _Export(items, engine).run(sync)
        finally:
            engine.close()


class _Export:
    """One export of items to an open engine."""

    def __init__(self, items: Exportable, engine: Engine) -> None:
        self._items, self._engine = items, engine
        self._added = self._removed = self._renamed = 0

    def run(self, sync: bool) -> Exported:
        edition = self._items.edition()
        if edition.stop - 1 > self._engine.max_id:
            raise GannetError(
                f"{self._engine.address} holds ids up to {self._engine.max_id}, and {self._items.name} has "
                f"{edition.stop - 1}: export to another engine, or make the collection again with `gannet index`"
            )
        header = self._begin(edition, sync)
        if header.pending:
            self._write(header)
        self._engine.finish()
        if header.pending:
            self._engine.write_header(header.finished(edition.changed, edition.stop))
        exact = self._engine.exact
        recall = (
            None if exact or not edition.n_items else measure_recall(self._items, edition.n_items, self._engine.search)
        )
        counts = self._added, self._removed, self._renamed
        return Exported(str(self._engine.address), len(self._engine), exact, recall, *counts, self._items.skipped())

    def _begin(self, edition: Edition, sync: bool) -> Header:
        """Return the header of the target, whose ``pending`` is empty if there is nothing to write."""
        items, engine = self._items, self._engine
        header = engine.header()
        if header is None:
            header = Header(items.n_bits, items.model_id, edition.created, stop=edition.stop, pending=edition.state)
            engine.create(header, items.model())
            return header
        if header.model_id != items.model_id:
            raise GannetError(
                f"{engine.address} holds codes of another model ({header.model_id[:12]}, not "
                f"{items.model_id[:12]}), which cannot be compared: export to another place"
            )
        if header.created != edition.created:
            raise GannetError(
                f"{engine.address} holds the items of another collection or folder: export to another place"
            )
        if header.state == edition.state and not header.pending:
            return header
        if header.state and not header.pending and not sync:
            raise GannetError(
                f"{engine.address} holds an earlier state of {items.name}: bring it up to date with --sync"
            )
        if header.pending != edition.state:
            # Ids that an interrupted export wrote may be above those that are exported now.
            header = replace(header, stop=max(edition.stop, header.stop), pending=edition.state, position=0)
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
        rows = self._items.rows(first, stop)
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


def measure_recall(items: Exportable, n_items: int, search: Callable[[Codes, int], tuple[Distances, Ids]]) -> float:
    """Return the share of the nearest items of some of the ``n_items`` codes that a search among all of them finds.

    A found item counts if it is as near as the last of the true nearest; the item that is asked for does not count.
    """
    own, queries = _sample(items, n_items)
    exact = np.empty((len(queries), 0), np.int64)
    for _, codes in items.blocks():
        distances, _ = HammingIndex(codes, items.n_bits).search(queries, RECALL_AT + 1)
        exact = np.sort(np.concatenate([exact, distances], axis=1), axis=1)[:, : RECALL_AT + 1]
    distances, found = search(queries, RECALL_AT + 1)
    n = exact.shape[1] - 1
    if n == 0:
        return 1.0
    return float(np.mean([_hits(*row, n) / n for row in zip(exact, distances, found, own, strict=True)]))


def _sample(items: Exportable, n_items: int) -> tuple[Ids, Codes]:
    """Return the ids and codes of `RECALL_QUERIES` items at equal steps, or of all if there are fewer."""
    n = min(RECALL_QUERIES, n_items)
    places = np.arange(n) * n_items // n
    ids, codes, seen = [], [], 0
    for some_ids, some_codes in items.blocks():
        rows = places[(places >= seen) & (places < seen + len(some_ids))] - seen
        ids.append(some_ids[rows])
        codes.append(some_codes[rows])
        seen += len(some_ids)
    return np.concatenate(ids), np.concatenate(codes)


def _hits(exact: Codes | Ids, distances: Ids, found: Ids, own: int, n: int) -> int:
    """Return how many of the first ``n`` items besides ``own`` are as near as the last of the exact ones."""
    others = distances[found != own][:n]
    return int((others <= exact[n]).sum())
