"""Ranking metrics for codes, evaluation protocols, and the benchmark of methods with its records and summaries."""

from gannet.evaluation.float_ranking import float_map, neighbor_recall
from gannet.evaluation.histograms import DistanceHistograms, distance_histograms
from gannet.evaluation.metrics import (
    AveragePrecision,
    average_precision,
    precision_at,
    recall_at,
    within_radius,
)
from gannet.evaluation.ranking import Evaluation, evaluate

__all__ = [
    "AveragePrecision",
    "DistanceHistograms",
    "Evaluation",
    "average_precision",
    "distance_histograms",
    "evaluate",
    "float_map",
    "neighbor_recall",
    "precision_at",
    "recall_at",
    "within_radius",
]
