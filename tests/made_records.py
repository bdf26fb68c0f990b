"""Records for tests, with arbitrary values."""

from typing import Any

from gannet.evaluation.record import Record

FIGURES: dict[str, Any] = {
    "map_at": None, "map_best": 1.0, "map_worst": 0.0, "map_min_denominator": 0.5,
    "precision_at": {1: 1.0}, "recall_at": {1: 0.5}, "precision_radius_2": 0.5,
    "n_queries": 10, "n_database": 100, "n_without_relevant": 0, "n_train": 50,
    "fit_seconds": 1.0, "encode_seconds": 0.1, "bit_entropy": 1.0, "distinct_codes": 90,
    "protocol": "small", "split": "s", "backbone": "none", "float_map": 0.25,
}  # fmt: skip


def make_record(method="itq", bits=16, seed=0, value=0.5, settings=None, **figures) -> Record:
    """Return a record with a MAP of ``value``."""
    by_radius = {"radius_precision": [1.0, *[0.5] * bits], "radius_recall": [*[0.5] * bits, 1.0]}
    values = {**FIGURES, **by_radius, **figures}
    return Record(method=method, bits=bits, seed=seed, map=value, settings=settings or {}, **values)
