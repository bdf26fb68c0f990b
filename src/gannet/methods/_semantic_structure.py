"""The semantic structure of `SSDH`: which pairs of items are similar, dissimilar or unknown (Yang et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gannet.training.losses import squared_loss

BINS = 100
"""Bins of the histogram that gives the mode (the authors' code: 100 from 0 to 1)."""


class HalfGaussians(NamedTuple):
    """A distribution of distances as two half-Gaussians that meet at their common mode."""

    mode: float
    left: float
    """Standard deviation of the half below the mode."""
    right: float
    """Standard deviation of the half above it."""

    def thresholds(self, alpha: float, beta: float) -> tuple[float, float]:
        """Return ``(mode - alpha left, mode + beta right)``: similar below the first, dissimilar above the second."""
        return self.mode - alpha * self.left, self.mode + beta * self.right


def fit_half_gaussians(distances: npt.NDArray[np.floating]) -> HalfGaussians:
    """Fit two half-Gaussians to ``distances (n,)``.

    The mode is the middle of the highest of `BINS` bins between the smallest and the largest distance. Mirrored at the
    mode, each half is a Gaussian with the mode as its mean, and its standard deviation of largest likelihood is the
    root mean square of the deviations from the mode.
    """
    counts, edges = np.histogram(distances, BINS)
    highest = int(counts.argmax())
    mode = float(edges[highest : highest + 2].mean())
    deviations = distances.astype(np.float64) - mode
    return HalfGaussians(
        mode, _root_mean_square(deviations[deviations <= 0]), _root_mean_square(deviations[deviations > 0])
    )


def _root_mean_square(values: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0


def pair_distances(unit_features: Tensor, n_items: int, generator: torch.Generator) -> npt.NDArray[np.float32]:
    """Return the cosine distances of all pairs among ``n_items`` random rows of ``unit_features (N, d)``."""
    rows = unit_features[torch.randperm(len(unit_features), generator=generator)[:n_items]]
    first, second = torch.triu_indices(len(rows), len(rows), offset=1)
    distances: npt.NDArray[np.float32] = (1 - rows @ rows.T)[first, second].numpy()
    return distances


def semantic_structure(unit_features: Tensor, similar: float, dissimilar: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the similarity function of the semantic structure.

    It maps indices ``(n,)`` and ``(m,)`` of ``unit_features (N, d)`` to ``(n, m)``: 1 if the cosine distance is below
    ``similar``, -1 if it is above ``dissimilar``, and 0 (unknown) between.
    """

    def structure(a: Tensor, b: Tensor) -> Tensor:
        distances = 1 - unit_features[a] @ unit_features[b].T
        return (distances < similar).to(distances.dtype) - (distances > dissimilar).to(distances.dtype)

    return structure


def structure_loss(products: Tensor, structure: Tensor, n_bits: int) -> Tensor:
    """Return ``|S| (P / k - S)^2``: the squared loss of the pairs whose similarity is known."""
    return structure.abs() * squared_loss(products, structure, n_bits)
