"""Measures methods and lengths of codes on a sample of someone's own data, and recommends one of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, pack
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.held_out import HeldOut
from gannet.hashers import get_hasher
from gannet.hashers.goals import GOALS
from gannet.hashers.takes import FromFeatures
from gannet.image_hasher import Training
from gannet.index import HammingIndex
from gannet.model import Model
from gannet.support.progress import progress

LENGTHS = (32, 64, 128, 256, 512)
DEPTHS = (1, 10, 100)
RERANKED = 200
"""Number of the best items by score that the kept floats put in order."""
MOST_QUERIES = 500
ENOUGH = 0.95
"""Share of the nearest items from which a longer code is not recommended."""
_SECONDS = 90.0
"""Time after which no more methods are measured."""
_SCANNED = 200_000


@dataclass(frozen=True)
class Row:
    """One way to store and search the items, and how well it finds the nearest item by cosine.

    Attributes
    ----------
    method : str
        Name of the method.
    n_bits : int or None
        Length of the codes; None for floats.
    order : {"hamming", "score", "rerank", "cosine"}
        What puts the results in order; "rerank" is the cosine of the kept floats, among the 200 best by score.
    bytes_per_item : int
        Size of what is stored of an item, floats of 2 bytes included where they are kept.
    recall : dict of int to float
        Share of the queries whose nearest item by cosine is among the first 1, 10 and 100 results.
    fit_seconds, encode_seconds : float or None
        Time to learn from the sample, and to encode one item; None where there is nothing to learn.
    scan_seconds : float or None
        Time for one query to compare all items by Hamming distance, scaled linearly from a smaller scan; None for
        floats.
    """

    method: str
    n_bits: int | None
    order: str
    bytes_per_item: int
    recall: dict[int, float]
    fit_seconds: float | None = None
    encode_seconds: float | None = None
    scan_seconds: float | None = None


@dataclass(frozen=True)
class Advice:
    """What was measured, what was left out and why, and the row that is recommended.

    Attributes
    ----------
    rows : list of Row
        The measured rows.
    left_out : list of str
        What was not measured, with the reason.
    recommended : Row
        The recommended row.
    reason : str
        Two sentences of reason.
    n_queries, n_database : int
        Number of items held out, and of items that were learned from and searched.
    n_items : int
        Size of the collection for which the times to search are given.
    """

    rows: list[Row]
    left_out: list[str]
    recommended: Row
    reason: str
    n_queries: int
    n_database: int
    n_items: int


def advise(training: Training, goal: str, n_items: int) -> Advice:
    """Measure methods and lengths on the items that were held out, and recommend one.

    Parameters
    ----------
    training : Training
        Features of the sample and of the items held out, from `ImageHasher.read_training`.
    goal : {"nearest", "kind"}
        What the codes are for. The recommended method is the best one for it.
    n_items : int
        Size of the collection for which the times to search are given.

    Returns
    -------
    Advice
        The measurements and the recommendation.

    Raises
    ------
    GannetError
        If too few items were read to hold some out, or if no method could be measured.
    """
    if training.held_out is None or not len(training.held_out.values):
        raise GannetError("too few items to advise on: give 100 or more, and more than there are bits")
    database = np.asarray(training.features.values, np.float32)
    queries = np.asarray(training.held_out.values[:MOST_QUERIES], np.float32)
    held_out = HeldOut.of(queries, database, k=1)
    left_out: list[str] = []
    rows = [Row("float cosine", None, "cosine", 4 * database.shape[1], dict.fromkeys(DEPTHS, 1.0))]
    for name, mean in (("signs", np.float32(0)), ("centered signs", database.mean(axis=0))):
        values = queries - mean
        rows += _rows(name, held_out, pack(values > 0), pack(database - mean > 0), values, n_items)
    rows += _methods(held_out, training, goal, n_items, left_out)
    recommended = _choose(rows, goal)
    reason = (
        f"Its codes of {recommended.bytes_per_item} bytes have the nearest item by cosine among the best 100 by score "
        f"for {recommended.recall[100]:.0%} of the items held out. {_about_floats(database.shape[1], n_items)}"
    )
    return Advice(rows, left_out, recommended, reason, len(queries), len(database), n_items)


def _methods(held_out: HeldOut, training: Training, goal: str, n_items: int, left_out: list[str]) -> Iterator[Row]:
    """Measure the methods of the goal and itq, until the time is up; those of another goal are named as left out."""
    wanted = list(dict.fromkeys([*_names(goal), "itq"]))
    for other in GOALS:
        names = [name for name in dict.fromkeys(_names(other)) if name not in wanted]
        left_out += [f"{name}: it is for the goal {other}" for name in names]
    started = time.perf_counter()
    with progress(len(wanted) * len(LENGTHS), "measuring", unit="code") as bar:
        for name in wanted:
            for n_bits in LENGTHS:
                bar.update(1)
                hasher = get_hasher(name)(n_bits=n_bits, random_state=0)
                if not isinstance(hasher.takes, FromFeatures):
                    left_out.append(f"{name}: it learns from images, not from features")
                    break
                if time.perf_counter() - started > _SECONDS:
                    left_out.append(f"{name} with {n_bits} bits: no time left")
                    continue
                try:
                    before = time.perf_counter()
                    model = Model.of(hasher.fit(held_out.database), training.features.extractor)
                    fitted = time.perf_counter()
                except GannetError as error:
                    left_out.append(f"{name} with {n_bits} bits: {error}")
                    continue
                codes = model.encoder.encode(held_out.database)
                encoding = (time.perf_counter() - fitted) / len(codes)
                query_codes, values = model.encoder.encode(held_out.queries), model.bit_weights(held_out.queries)
                yield from _rows(name, held_out, query_codes, codes, values, n_items, fitted - before, encoding)


def _names(goal: str) -> list[str]:
    return [GOALS[goal].matrix, GOALS[goal].images]


def _rows(
    name: str,
    held_out: HeldOut,
    query_codes: Codes,
    codes: Codes,
    values: Floats,
    n_items: int,
    fit_seconds: float | None = None,
    encode_seconds: float | None = None,
) -> list[Row]:
    """Return the rows of a code: in the order of distances, of scores, and of the kept floats."""
    n_bits, n_bytes = values.shape[1], codes.shape[1]
    n_candidates = min(RERANKED, len(codes))
    by_distance = held_out.recall(query_codes, codes, n_bits, DEPTHS)
    by_score = held_out.recall(query_codes, codes, n_bits, [*DEPTHS, n_candidates], values)
    # The floats put the nearest item first wherever it is among the candidates.
    reranked = dict.fromkeys(DEPTHS, by_score[n_candidates])
    times = fit_seconds, encode_seconds, _scan_seconds(query_codes[:1], codes, n_bits, n_items)
    return [
        Row(name, n_bits, "hamming", n_bytes, by_distance, *times),
        Row(name, n_bits, "score", n_bytes, {depth: by_score[depth] for depth in DEPTHS}, *times),
        Row(name, n_bits, "rerank", n_bytes + 2 * held_out.database.shape[1], reranked, *times),
    ]


def _scan_seconds(query: Codes, codes: Codes, n_bits: int, n_items: int) -> float:
    """Return the time that one query takes to compare ``n_items``, scaled linearly from a scan of 200,000 codes."""
    rows: npt.NDArray[np.int64] = np.arange(_SCANNED) % len(codes)
    index = HammingIndex(codes[rows], n_bits)
    index.prepare()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        index.search(query, 10)
        times.append(time.perf_counter() - started)
    return min(times) * n_items / _SCANNED


def _choose(rows: list[Row], goal: str) -> Row:
    """Return the shortest code of the goal's method that finds enough by score, or its best one."""
    of_goal = [row for row in rows if row.order == "score" and row.method == GOALS[goal].matrix]
    if not of_goal:
        raise GannetError(f"no code of {GOALS[goal].matrix} could be measured: give more items")
    enough = [row for row in of_goal if row.recall[100] >= ENOUGH]
    return min(enough, key=lambda row: row.bytes_per_item) if enough else max(of_goal, key=lambda row: row.recall[100])


def _about_floats(n_features: int, n_items: int) -> str:
    size = 4 * n_features * n_items / 1e9
    if size < 1:
        return f"The floats of {n_items:,} items take only {size:.2g} GB: if they fit your memory, search them instead."
    return f"The floats of {n_items:,} items would take {size:,.1f} GB."
