"""Published projects' evaluators by name, quirks included, so that a published number can be explained.

They all sort by Hamming distance and let the sort decide the order of ties: the value depends on the order of
the database rows, on the sort and, for NumPy's, on the processor. `gannet.evaluation.evaluate` does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import MissingExtraError, unknown_name
from gannet.evaluation.histograms import check_pair, labelled
from gannet.evaluation.metrics import cutoff

Distances = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Evaluator:
    """How one project turns a ranking into a number."""

    source: str
    """Repository, file and function."""
    quirks: str
    """What sets its number apart, in sentences."""
    order: Callable[[Distances], npt.NDArray[Any]]
    """Sorts the distances ``(m,)`` float32 of one query: the row numbers, nearest first."""
    stop: Callable[[int | None, int], int]
    """Gives the end of the ranking from ``top`` and the size of the database."""
    skips_queries: Callable[[bool], bool] = lambda multi_label: False
    """Whether a query without hits leaves the mean, given whether items have several labels."""


def _numpy_order(distances: Distances) -> npt.NDArray[Any]:
    return np.argsort(distances)


def _torch_order(distances: Distances) -> npt.NDArray[Any]:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "train", "the evaluator 'fire', which ranks with torch.topk,") from error
    nearest = torch.topk(torch.from_numpy(distances), len(distances), largest=False, sorted=True)
    indices: npt.NDArray[Any] = nearest.indices.numpy()
    return indices


_ARGSORT = (
    "Ties stand as an unstable np.argsort of float32 leaves them. The denominator is the relevant items "
    "within the cutoff. A query without any adds 0 and is counted."
)

EVALUATORS: dict[str, Evaluator] = {
    "deephash-pytorch": Evaluator(
        "swuxyj/DeepHash-pytorch, utils/tools.py, CalcTopMap",
        f"{_ARGSORT} Its setting for the whole ranking, topK = -1, is used as the slice [0:-1], which drops "
        "the last item. Its loaders shuffle the database, so each run breaks ties another way.",
        _numpy_order,
        stop=lambda top, n: n - 1 if top is None else cutoff(top, n),
    ),
    "bihalf": Evaluator(
        "liyunqianggyn/Deep-Unsupervised-Image-Hashing, ImageHashing/cal_map_single.py and cal_map_mult.py, "
        "calculate_top_map and calculate_map",
        f"{_ARGSORT} It reports CIFAR-10 at 1000 and Flickr25k over the whole ranking. Its CIFAR-10 loaders "
        "shuffle the database, so each run breaks ties another way.",
        _numpy_order,
        stop=cutoff,
    ),
    "cibhash": Evaluator(
        "zexuanqiu/CIBHash, utils/evaluation.py, calculate_top_map",
        f"{_ARGSORT} It reports CIFAR-10 at 1000.",
        _numpy_order,
        stop=cutoff,
    ),
    "fire": Evaluator(
        "CISiPLab/cisip-FIRe, utils/hashing.py, calculate_mAP",
        "Ties stand as torch.topk leaves them. The denominator is the relevant items within the cutoff. A "
        "query without any adds 0 and is counted where items have one class, but leaves the mean where they "
        "have several labels. The original sums in float32: expect six equal digits.",
        _torch_order,
        stop=cutoff,
        skips_queries=lambda multi_label: multi_label,
    ),
}


def evaluator(name: str) -> Evaluator:
    """Return a published evaluator, or raise a `GannetError` that suggests a name."""
    if name not in EVALUATORS:
        raise unknown_name("evaluator", name, EVALUATORS)
    return EVALUATORS[name]


def compat_map(
    name: str,
    query_codes: npt.ArrayLike,
    database_codes: npt.ArrayLike,
    query_labels: npt.ArrayLike,
    database_labels: npt.ArrayLike,
    n_bits: int,
    top: int | None = None,
) -> float:
    """Return mean average precision as a published project computes it.

    ``name`` is one of `EVALUATORS`; the rest is as in `gannet.evaluation.evaluate`, and ``top=None`` is what
    the project calls the whole ranking. A ``top`` above the database means all of it; where no query stays
    in the mean the value is 0.
    """
    published = evaluator(name)
    queries, database = check_pair(query_codes, database_codes, n_bits)
    labels = labelled(queries, database, query_labels, database_labels)
    stop = published.stop(top, len(database))
    total, counted = 0.0, 0
    for row, code in enumerate(queries):
        distances = np.bitwise_count(database ^ code).sum(axis=1, dtype=np.float32)
        relevant = labels.rows(slice(row, row + 1))[0]
        ranks = np.flatnonzero(relevant[published.order(distances)[:stop]]) + 1.0
        if len(ranks):
            total += float(np.mean(np.arange(1, len(ranks) + 1) / ranks))
        counted += bool(len(ranks)) or not published.skips_queries(labels.multi_label)
    return total / max(counted, 1)
