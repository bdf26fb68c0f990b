"""Example retrievals: a few queries with their nearest database items."""

from __future__ import annotations

from gannet.codes import Codes
from gannet.evaluation.labels import relevance
from gannet.evaluation.record import Retrieval
from gannet.evaluation.split_data import SplitData
from gannet.index.hamming import HammingIndex

_N_EXAMPLES, _N_NEIGHBORS = 4, 8


def example_retrievals(query: Codes, database: Codes, data: SplitData, n_bits: int) -> list[Retrieval]:
    """Return evenly spaced queries with their nearest items; items at equal distance are in database order."""
    chosen = [len(query) * i // _N_EXAMPLES for i in range(min(_N_EXAMPLES, len(query)))]
    found = HammingIndex(database, n_bits).search(query[chosen], min(_N_NEIGHBORS, len(database)))
    labels = relevance(data.query_labels, data.database_labels)
    retrievals = []
    for row, distances, items in zip(chosen, *found, strict=True):
        relevant = labels.rows(slice(row, row + 1))[0]
        near = [
            (int(item), int(distance), int(relevant[item])) for distance, item in zip(distances, items, strict=True)
        ]
        retrievals.append(Retrieval(row, near))
    return retrievals
