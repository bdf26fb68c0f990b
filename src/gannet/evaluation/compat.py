"""Evaluators of published projects, reproduced with their peculiarities, to explain published values.

All of them sort by Hamming distance, and the sort decides the order of ties. Their values therefore depend on the order
of the database and on the sorting algorithm, which in NumPy depends on the processor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import unknown_name
from gannet.evaluation.histograms import check_pair, pair_relevance
from gannet.evaluation.metrics import cutoff
from gannet.support.libraries import load

Distances = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Evaluator:
    """How a project computes mean average precision.

    ``source`` is its repository, file and function, and ``quirks`` says in sentences how its value differs from others.
    ``order`` maps the distances ``(m,)`` of a query to the rows of the database, nearest first. ``stop`` maps the
    cutoff (or None) and the size of the database to the number of ranks that count. ``skips_queries`` maps whether
    items have several labels to whether queries without hits are left out of the mean.
    """

    source: str
    quirks: str
    order: Callable[[Distances], npt.NDArray[Any]]
    stop: Callable[[int | None, int], int]
    skips_queries: Callable[[bool], bool] = lambda multi_label: False


def _numpy_order(distances: Distances) -> npt.NDArray[Any]:
    return np.argsort(distances)


def _torch_order(distances: Distances) -> npt.NDArray[Any]:
    torch = load("torch", "train", "the evaluator 'fire', which ranks with torch.topk,")
    nearest = torch.topk(torch.from_numpy(distances), len(distances), largest=False, sorted=True)
    indices: npt.NDArray[Any] = nearest.indices.numpy()
    return indices


_ARGSORT = (
    "The order of ties is that of an unstable np.argsort of float32. The denominator is the number of relevant "
    "items within the cutoff. A query without any counts as 0."
)

EVALUATORS: dict[str, Evaluator] = {
    "deephash-pytorch": Evaluator(
        "swuxyj/DeepHash-pytorch, utils/tools.py, CalcTopMap",
        f"{_ARGSORT} Its setting for the whole ranking, topK = -1, is used as the slice [0:-1], which drops "
        "the last item. Its loaders shuffle the database, so each run orders ties differently.",
        _numpy_order,
        stop=lambda top, n: n - 1 if top is None else cutoff(top, n),
    ),
    "bihalf": Evaluator(
        "liyunqianggyn/Deep-Unsupervised-Image-Hashing, ImageHashing/cal_map_single.py and cal_map_mult.py, "
        "calculate_top_map and calculate_map",
        f"{_ARGSORT} It reports CIFAR-10 at 1000 and Flickr25k over the whole ranking. Its CIFAR-10 loaders "
        "shuffle the database, so each run orders ties differently.",
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
        "The order of ties is that of torch.topk. The denominator is the number of relevant items within the cutoff. "
        "A query without any counts as 0 if items have one class, but is left out of the mean if they have several "
        "labels. The original sums in float32, so about six digits agree.",
        _torch_order,
        stop=cutoff,
        skips_queries=lambda multi_label: multi_label,
    ),
}


def evaluator(name: str) -> Evaluator:
    """Return the evaluator of that name. Raises a `GannetError` for an unknown name, which suggests the nearest."""
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
    """Return mean average precision as the published project ``name`` computes it, or 0 if its mean is over no queries.

    The other arguments are those of `gannet.evaluation.evaluate`; without ``top``, the project's setting for the whole
    ranking is used. Raises a `GannetError` if the name is unknown or if codes or labels are malformed.
    """
    published = evaluator(name)
    queries, database = check_pair(query_codes, database_codes, n_bits)
    labels = pair_relevance(queries, database, query_labels, database_labels)
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
