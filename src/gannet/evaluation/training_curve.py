"""The training curve of a method that learns from pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from gannet.encoders import Encoder
from gannet.evaluation.ranking import evaluate
from gannet.evaluation.record import TrainingPoint

if TYPE_CHECKING:
    from gannet.evaluation.split_data import SplitArrays, SplitData
    from gannet.training.observe import ObservedStep

# Numbers of the observed steps whose encoder is scored. A training observes about a hundred steps; scoring takes longer
# than a step, so only some are scored, most of them early, where methods differ most.
_SCORED = frozenset({1, 2, 3, 5, 10, 20, 30, 50, 75, 100})


class TrainingCurve:
    """Collects the observed steps of one training, and encoders to score after it."""

    def __init__(self) -> None:
        self._points: list[TrainingPoint] = []
        self._encoders: dict[int, Encoder] = {}

    def add(self, step: ObservedStep, encoder: Callable[[], Encoder]) -> None:
        """Add a step; the observer to set on a `gannet.hashers.pairwise.PairwiseHasher`."""
        if len(self._points) + 1 in _SCORED:
            self._encoders[len(self._points)] = encoder()
        self._points.append(TrainingPoint(step.step, step.loss, step.flipped, step.undone))

    def scored(self, arrays: SplitArrays, data: SplitData, map_at: int | None) -> list[TrainingPoint]:
        """Return the points, with MAP where the encoder was kept, on the arrays that the method encodes."""
        points = list(self._points)
        for place, encoder in self._encoders.items():
            codes = encoder.encode(arrays.query), encoder.encode(arrays.database)
            result = evaluate(*codes, data.query_labels, data.database_labels, encoder.n_bits, top=map_at)
            points[place] = replace(points[place], map=result.map)
        return points
