"""The benchmark: fit each method at each code length and seed, and score its codes under one protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn import config_context

from gannet.code_statistics import code_statistics
from gannet.codes import n_bytes
from gannet.errors import GannetError, unknown_name
from gannet.evaluation.examples import example_retrievals
from gannet.evaluation.float_ranking import float_map
from gannet.evaluation.protocols import Protocol
from gannet.evaluation.ranking import evaluate
from gannet.evaluation.record import Record
from gannet.evaluation.split_data import SplitData
from gannet.evaluation.training_curve import TrainingCurve
from gannet.hashers import all_hashers, get_hasher
from gannet.hashers.pairwise import PairwiseHasher
from gannet.hashers.settings import defaults, make_hasher
from gannet.model import Model

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher


_MOST_CELLS = 100_000


@dataclass(frozen=True)
class Cell:
    """One method at one code length with one seed; ``settings`` are all its other settings."""

    method: str
    bits: int
    seed: int
    settings: Mapping[str, Any]

    def hasher(self) -> Hasher:
        """Return the unfitted method."""
        return get_hasher(self.method)(self.bits, random_state=self.seed, **self.settings)

    def matches(self, record: Record) -> bool:
        """Return whether a record of the same run is the result of this cell."""
        key = self.method, self.bits, self.seed, self.settings
        return key == (record.method, record.bits, record.seed, record.settings)


@dataclass(frozen=True)
class Run:
    """The protocol, the split data and the name of the image network that all cells of a benchmark share.

    With ``curves``, the training curves of methods that learn from pairs are recorded, which makes fitting slower.
    """

    protocol: Protocol
    data: SplitData
    backbone: str
    curves: bool = False

    def own(self, records: Sequence[Record]) -> list[Record]:
        """Return the records that have this protocol, split and backbone, so that they can be compared."""
        key = self.protocol.name, self.data.split.digest, self.backbone
        return [record for record in records if key == (record.protocol, record.split, record.backbone)]


def make_cells(
    methods: Sequence[str], bits: Sequence[int], seeds: int, settings: Mapping[str, str] | None = None
) -> list[Cell]:
    """Return the cells of all methods, code lengths and seeds ``0, ..., seeds - 1``, checked, in this order.

    ``methods`` are names, or ``["all"]``. Each of the ``settings``, given as texts, goes to every method that has it.

    Raises a `GannetError` if a name is unknown (the message suggests the nearest), a length or the number of seeds is
    below 1, there are more than 100,000 cells, no method has a setting, or a setting's text has the wrong type.
    """
    names = list(all_hashers()) if list(methods) == ["all"] else list(dict.fromkeys(methods))
    if not names or not bits:
        raise GannetError("give at least one method and one number of bits")
    if seeds < 1:
        raise GannetError(f"the number of seeds must be at least 1, not {seeds}")
    for n_bits in bits:
        n_bytes(n_bits)
    n_cells = len(names) * len(dict.fromkeys(bits)) * seeds
    if n_cells > _MOST_CELLS:
        raise GannetError(f"{n_cells:,} runs are too many, at most {_MOST_CELLS:,}: give fewer seeds, bits or methods")
    chosen = _settings(names, settings or {})
    return [
        Cell(name, n_bits, seed, chosen[name])
        for name in names
        for n_bits in dict.fromkeys(bits)
        for seed in range(seeds)
    ]


def _settings(names: Sequence[str], texts: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return all settings of each method; each text goes to every method that has the setting."""
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


def learn(hasher: Hasher, train: npt.NDArray[Any], *, curve: TrainingCurve | None = None) -> float:
    """Fit a method to the training set and return the seconds it took.

    The method is given no labels, and neither queries nor database. If it learns from pairs, its training is added to
    ``curve``.
    """
    if curve is not None and isinstance(hasher, PairwiseHasher):
        hasher.observer = curve.add
    started = time.perf_counter()
    hasher.fit(train)
    return time.perf_counter() - started


def run_cells(
    cells: Sequence[Cell], run: Run, done: Sequence[Record] = ()
) -> Iterator[tuple[Cell, Record | GannetError]]:
    """Fit and score cells, one after another.

    Parameters
    ----------
    cells : sequence of Cell
        The cells, as `make_cells` returns them.
    run : Run
        Protocol and data.
    done : sequence of Record, optional
        Earlier records. A cell with a record of the same protocol, split, backbone and settings is not run again.

    Yields
    ------
    cell : Cell
        Each cell, in order.
    outcome : Record or GannetError
        Its record, or the error that the method raised.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.evaluation.benchmark import Run, make_cells, run_cells
    >>> from gannet.evaluation.items import find_protocol
    >>> from gannet.evaluation.split_data import SplitData
    >>> protocol, items = find_protocol("digits")
    >>> pixels = np.stack([items.source.read(i)[:, :, 0].ravel() for i in range(len(items.labels))])
    >>> data = SplitData(pixels.astype("f4"), items.labels, protocol.split(items.labels), items.source)
    >>> for cell, record in run_cells(make_cells(["itq", "lsh"], [16], seeds=1), Run(protocol, data, "none")):
    ...     print(f"{cell.method}: {record.map:.2f}")
    itq: 0.63
    lsh: 0.35
    """
    own = run.own(done)
    ceiling = own[0].float_map if own else None
    for cell in cells:
        known = next((record for record in reversed(own) if cell.matches(record)), None)
        if known is not None:
            yield cell, known
            continue
        if ceiling is None:
            data = run.data
            labels = data.query_labels, data.database_labels
            ceiling = float_map(data.features.query, data.features.database, *labels, top=run.protocol.map_at)
        try:
            outcome: Record | GannetError = _run_cell(cell, run, ceiling)
        except GannetError as error:
            outcome = error
        yield cell, outcome


def _run_cell(cell: Cell, run: Run, ceiling: float) -> Record:
    """Fit a cell on the training set, encode queries and database, and score the codes."""
    data, map_at = run.data, run.protocol.map_at
    hasher = cell.hasher()
    arrays = data.given_to(hasher)
    curve = TrainingCurve() if run.curves else None
    fit_seconds = learn(hasher, arrays.train, curve=curve)
    started = time.perf_counter()
    with config_context(transform_output="default"):
        query, database = hasher.transform(arrays.query), hasher.transform(arrays.database)
    encode_seconds = time.perf_counter() - started
    labels = data.query_labels, data.database_labels
    values = Model.of(hasher, None).bit_weights(arrays.query)
    result = evaluate(query, database, *labels, cell.bits, top=map_at, query_values=values)
    figures = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in vars(result).items()}
    del figures["n_bits"]
    statistics = code_statistics(database, cell.bits)
    figures["bit_entropy"], figures["distinct_codes"] = statistics["entropy"], statistics["distinct"]
    figures["bits_on"] = statistics["balance_min"], statistics["balance_max"]
    return Record(
        method=cell.method,
        bits=cell.bits,
        seed=cell.seed,
        fit_seconds=fit_seconds,
        encode_seconds=encode_seconds,
        **figures,
        n_train=len(arrays.train),
        training=(curve.scored(arrays, data, map_at) or None) if curve else None,
        examples=example_retrievals(query, database, data, cell.bits),
        settings=dict(cell.settings),
        protocol=run.protocol.name,
        split=data.split.digest,
        backbone=run.backbone,
        float_map=ceiling,
    )
