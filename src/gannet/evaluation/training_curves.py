"""What a benchmark keeps of a cell to look at: the training, step by step, and a few queries with their neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gannet.codes import Codes
from gannet.encoders import Encoder
from gannet.evaluation.items import SplitFeatures
from gannet.evaluation.labels import relevance
from gannet.evaluation.ranking import evaluate
from gannet.index.hamming import HammingIndex

if TYPE_CHECKING:
    from gannet.training.observe import ObservedStep

# A training is seen about a hundred times. To judge an encoder takes longer than a step, so few are: more where
# methods differ most.
_JUDGED = frozenset({1, 2, 3, 5, 10, 20, 30, 50, 75, 100})
_N_EXAMPLES, _N_NEIGHBOURS = 4, 8


class TrainingWatch:
    """Gathers the observed steps of a training and copies of some encoders, which are judged when it is over."""

    def __init__(self) -> None:
        self._steps: list[dict[str, Any]] = []
        self._encoders: dict[int, Encoder] = {}

    def see(self, step: ObservedStep, encoder: Callable[[], Encoder]) -> None:
        """Take note of a step; an observer of `gannet.hashers.pairwise.PairwiseHasher`."""
        if len(self._steps) + 1 in _JUDGED:
            self._encoders[len(self._steps)] = encoder()
        self._steps.append(dict(vars(step)))

    def judged(self, features: SplitFeatures, map_at: int | None) -> list[dict[str, Any]]:
        """Return the steps as entries for JSON, some of them with the ``map`` that the encoder had reached."""
        for number, encoder in self._encoders.items():
            codes = encoder.encode(features.query), encoder.encode(features.database)
            labels = features.query_labels, features.database_labels
            self._steps[number]["map"] = evaluate(*codes, *labels, encoder.n_bits, top=map_at).map
        return self._steps


def examples(query: Codes, database: Codes, features: SplitFeatures, n_bits: int) -> list[dict[str, Any]]:
    """Return a few queries, evenly spaced, with their nearest items, as entries for JSON.

    Each has ``query``, its row among the queries, and ``found``: ``[row in the database, distance, relevant]`` of every
    item, nearest first, those at equal distance in the order of the database.
    """
    chosen = [len(query) * i // _N_EXAMPLES for i in range(min(_N_EXAMPLES, len(query)))]
    found = HammingIndex(database, n_bits).search(query[chosen], min(_N_NEIGHBOURS, len(database)))
    labels = relevance(features.query_labels, features.database_labels)
    entries = []
    for row, distances, items in zip(chosen, *found, strict=True):
        relevant = labels.rows(slice(row, row + 1))[0]
        near = [
            [int(item), int(distance), int(relevant[item])] for distance, item in zip(distances, items, strict=True)
        ]
        entries.append({"query": row, "found": near})
    return entries
