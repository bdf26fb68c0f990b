"""The benchmark: methods, lengths and seeds under one protocol, each cell fitted without labels and scored."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, n_bytes, unpack
from gannet.errors import GannetError, unknown_name
from gannet.evaluation.float_ranking import float_map
from gannet.evaluation.items import SplitFeatures
from gannet.evaluation.protocols import Protocol
from gannet.evaluation.ranking import evaluate
from gannet.evaluation.training_curves import TrainingWatch, examples
from gannet.hashers import all_hashers, get_hasher
from gannet.hashers.pairwise import PairwiseHasher
from gannet.hashers.settings import defaults, make_hasher

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher

Record = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One method at one length with one seed; ``settings`` are all of its settings, as it will run."""

    method: str
    bits: int
    seed: int
    settings: Mapping[str, Any]

    def hasher(self) -> Hasher:
        """Return the method, unfitted."""
        return get_hasher(self.method)(self.bits, random_state=self.seed, **self.settings)


@dataclass(frozen=True)
class Run:
    """What all cells of a run share, and what their records say about it."""

    protocol: Protocol
    features: SplitFeatures
    backbone: str
    curves: bool = False
    """Whether records hold training curves of methods that learn from pairs; to watch adds to the seconds to fit."""

    def identity(self) -> Record:
        """Return what must be equal for two records to compare."""
        return {"protocol": self.protocol.name, "split": self.features.split.digest, "backbone": self.backbone}

    def own(self, records: Sequence[Record]) -> list[Record]:
        """Return the records of this protocol, split and backbone."""
        return [record for record in records if self.identity().items() <= record.items()]


def make_cells(
    methods: Sequence[str], bits: Sequence[int], seeds: int, settings: Mapping[str, str] | None = None
) -> list[Cell]:
    """Return the cells of a run, all of them checked.

    Parameters: ``methods``, names, or ``["all"]``; ``seeds``, how many: 0, 1, ...; ``settings`` as texts; one
    goes to each method that has it, and at least one must.
    Raises: `GannetError` for unknown names (with the nearest), lengths or numbers of seeds below 1, and for
    settings that no method has or that do not fit.
    """
    names = list(all_hashers()) if list(methods) == ["all"] else list(dict.fromkeys(methods))
    if not names or not bits:
        raise GannetError("give at least one method and one number of bits")
    if seeds < 1:
        raise GannetError(f"the number of seeds must be at least 1, not {seeds}")
    for n_bits in bits:
        n_bytes(n_bits)
    chosen = _settings(names, settings or {})
    return [
        Cell(name, n_bits, seed, chosen[name])
        for name in names
        for n_bits in dict.fromkeys(bits)
        for seed in range(seeds)
    ]


def _settings(names: Sequence[str], texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return all settings of each method; a text goes to every method that has the setting."""
    own = {name: defaults(get_hasher(name)) for name in names}
    known = set().union(*own.values())
    for key in texts:
        if key not in known and len(names) > 1:
            raise unknown_name("setting", key, known)
    chosen = {}
    for name in names:
        mine = {key: text for key, text in texts.items() if key in own[name] or len(names) == 1}
        params = make_hasher(name, 8, 0, mine).get_params()
        chosen[name] = {key: params[key] for key in own[name]}
    return chosen


def learn(hasher: Hasher, train: npt.NDArray[Any], *, watch: TrainingWatch | None = None) -> float:
    """Fit a method and return the seconds it took. It is given features, or images, to learn from and no more.

    A ``watch`` sees the training of a method that learns from pairs.
    """
    if watch is not None and isinstance(hasher, PairwiseHasher):
        hasher.observer = watch.see
    started = time.perf_counter()
    hasher.fit(train)
    return time.perf_counter() - started


def run_cell(cell: Cell, run: Run) -> Record:
    """Fit a cell on the training set, encode queries and database, score them: one record, ready for JSON."""
    features = run.features
    watch = TrainingWatch() if run.curves else None
    hasher = cell.hasher()
    of_queries, of_database, of_training = features.given_to(hasher)
    fit_seconds = learn(hasher, of_training, watch=watch)
    started = time.perf_counter()
    query, database = hasher.transform(of_queries), hasher.transform(of_database)
    encode_seconds = time.perf_counter() - started
    labels = features.query_labels, features.database_labels
    result = evaluate(query, database, *labels, cell.bits, top=run.protocol.map_at)
    figures = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(result).items()}
    del figures["n_bits"]
    training = watch.judged(features, run.protocol.map_at) if watch else []
    # As JSON has them, so that a record is the same before and after it was written.
    for key in ("precision_at", "recall_at"):
        figures[key] = {str(n): value for n, value in figures[key].items()}
    return {
        "method": cell.method,
        "bits": cell.bits,
        "seed": cell.seed,
        "map": figures.pop("map"),
        "map_at": figures.pop("map_at"),
        "fit_seconds": fit_seconds,
        "encode_seconds": encode_seconds,
        **figures,
        **_code_statistics(database, cell.bits),
        "n_train": len(features.train),
        **({"training": training} if training else {}),
        "examples": examples(query, database, features, cell.bits),
        "settings": dict(cell.settings),
        **run.identity(),
    }


def run_cells(
    cells: Sequence[Cell], run: Run, done: Sequence[Record] = ()
) -> Iterator[tuple[Cell, Record | GannetError]]:
    """Yield each cell with its record, or with the reason why it cannot be had.

    A cell that ``done`` has a record of, from the same protocol, split, backbone and settings, is not run
    again. Each record holds ``float_map``, what ranking by the cosine of the features reaches.
    """
    known = {_key(record): record for record in done}
    ceiling = next((record["float_map"] for record in done if run.identity().items() <= record.items()), None)
    for cell in cells:
        key = _key({**vars(cell), **run.identity()})
        if key in known:
            yield cell, known[key]
            continue
        if ceiling is None:
            ceiling = _float_map(run)
        try:
            yield cell, {**run_cell(cell, run), "float_map": ceiling}
        except GannetError as error:
            yield cell, error


def _float_map(run: Run) -> float:
    features = run.features
    labels = features.query_labels, features.database_labels
    return float_map(features.query, features.database, *labels, top=run.protocol.map_at)


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("protocol", "split", "backbone", "method", "bits", "seed")
    return (*(record[name] for name in names), tuple(sorted(record["settings"].items())))


def _code_statistics(codes: Codes, n_bits: int) -> Record:
    """Return the mean entropy of a bit (1: on in half of the database), how many codes are different, and how often
    the rarest and the commonest bit are on.
    """
    on = unpack(codes, n_bits).mean(axis=0)
    sure = np.stack([on, 1 - on])
    entropy = -(sure * np.log2(np.where(sure > 0, sure, 1))).sum(axis=0)
    return {
        "bit_entropy": float(entropy.mean()),
        "distinct_codes": len(np.unique(codes, axis=0)),
        "bits_on": [float(on.min()), float(on.max())],
    }
