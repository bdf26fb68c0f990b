"""Spherical hashing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from sklearn.utils import check_random_state

from gannet.encoders import Encoder, Floats
from gannet.errors import GannetError
from gannet.hashers.base import Hasher


@dataclass(frozen=True)
class Spheres(Encoder):
    """``radius^2 - |x - pivot|^2``: a bit is 1 for an item inside its hypersphere or on it."""

    kind: ClassVar[str] = "spheres"

    pivots: Floats  # (n_bits, n_features)
    radii: Floats  # (n_bits,)

    @property
    def n_features(self) -> int:
        """Length of the vectors it takes."""
        return int(self.pivots.shape[1])

    @property
    def n_bits(self) -> int:
        """Length of the codes it makes."""
        return int(self.pivots.shape[0])

    def values(self, features: Floats) -> Floats:
        """Return ``radius^2 - |features - pivot|^2`` for each pivot."""
        return np.asarray(self.radii**2 - squared_distances(features, self.pivots), np.float32)


class SpH(Hasher):
    """Spherical hashing: hyperspheres that each hold half of the items, each pair sharing a quarter.

    Heo, Lee, He, Chang, Yoon 2012. Each radius is set so that the sphere holds half of
    the m items. For each pair of pivots with ``o_ij`` items in both spheres, the force
    ``f_ij = 1/2 (o_ij - m/4) / (m/4) (p_i - p_j)`` moves p_i by ``sum_j f_ij / n_bits``: apart where they share too
    many, together where too few. It ends when the mean of ``|o_ij - m/4|`` is at most ``mean_tolerance`` of m/4, and
    the standard deviation of ``o_ij`` at most ``std_tolerance`` of it.

    Rankings use the plain Hamming distance, as for all methods here. The paper's spherical Hamming distance, the bits
    that differ over the bits that are 1 in both, is not used.

    Left open by the paper and chosen here: a pivot starts at the mean of ``n_initial`` random items, which is near
    the centre, where the paper saw faster convergence; a radius ends midway between the two middle distances; all
    training items take part (the paper: 100,000 of them); after ``n_iterations`` rounds the spheres are used as they
    are, so that items which allow no such spheres, few or one-dimensional ones, still get codes. ``n_iterations_``
    says how many rounds there were.

    Parameters: ``n_bits``; ``mean_tolerance`` (paper: 0.10); ``std_tolerance`` (paper: 0.15); ``n_initial`` (published
    implementations: 5); ``n_iterations``, at most (paper: no limit, ends within 10 to 30); ``random_state``, seed of
    the first pivots.
    """

    name = "sph"
    reference = "Heo, Lee, He, Chang, Yoon, Spherical Hashing, CVPR 2012"

    def __init__(
        self,
        n_bits: int = 64,
        *,
        mean_tolerance: float = 0.10,
        std_tolerance: float = 0.15,
        n_initial: int = 5,
        n_iterations: int = 100,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.mean_tolerance = mean_tolerance
        self.std_tolerance = std_tolerance
        self.n_initial = n_initial
        self.n_iterations = n_iterations
        self.random_state = random_state

    def _learn(self, features: Floats) -> Spheres:
        if self.n_initial < 1 or self.n_iterations < 1:
            raise GannetError("n_initial and n_iterations must be at least 1")
        pivots = self._first_pivots(features)
        distances = squared_distances(features, pivots)
        radii = half_radii(distances)
        self.n_iterations_ = 0
        while self.n_iterations_ < self.n_iterations:
            excess = relative_excess(distances <= radii**2)
            if self._settled(excess):
                break
            # The sum over j of 1/2 excess_ij (p_i - p_j), for all i at once.
            pivots = pivots + (excess.sum(axis=1)[:, None] * pivots - excess @ pivots) / (2 * self.n_bits)
            distances = squared_distances(features, pivots)
            radii = half_radii(distances)
            self.n_iterations_ += 1
        return Spheres(pivots, radii)

    def _first_pivots(self, features: Floats) -> Floats:
        random = check_random_state(self.random_state)
        size = min(self.n_initial, len(features))
        rows = [random.choice(len(features), size, replace=False) for _ in range(self.n_bits)]
        return np.stack([features[chosen].mean(axis=0) for chosen in rows])

    def _settled(self, excess: Floats) -> bool:
        pairs = excess[np.triu_indices_from(excess, 1)]
        if pairs.size == 0:  # one sphere has no pair to balance
            return True
        return bool(np.abs(pairs).mean() <= self.mean_tolerance and pairs.std() <= self.std_tolerance)


def squared_distances(features: Floats, pivots: Floats) -> Floats:
    """Return ``|x - p|^2``, ``(n, n_pivots)``, of ``features (n, d)`` and ``pivots (n_pivots, d)``."""
    # Taken from the pivots' mean: far from the origin the three terms would cancel to noise.
    origin = pivots.mean(axis=0)
    items, centres = features - origin, pivots - origin
    lengths = np.einsum("nd,nd->n", items, items)[:, None] + np.einsum("pd,pd->p", centres, centres)
    return np.asarray(np.maximum(lengths - 2 * (items @ centres.T), 0), np.float32)


def half_radii(distances: Floats) -> Floats:
    """Return the radius that holds ``n // 2`` items for each column of squared ``distances (n, n_pivots)``.

    It lies midway between the two distances at the border, so that rounding moves no item; where these are equal, the
    sphere holds all items at that distance.
    """
    half = len(distances) // 2
    border = np.sqrt(np.partition(distances, (half - 1, half), axis=0)[half - 1 : half + 1])
    return np.asarray(border.mean(axis=0), np.float32)


def relative_excess(inside: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> Floats:
    """Return ``(o_ij - m/4) / (m/4)``, ``(n_bits, n_bits)``, for items inside spheres ``(m, n_bits)``; 0 if i = j."""
    members = inside.astype(np.float32)
    quarter = len(inside) / 4
    excess = (members.T @ members - quarter) / quarter
    np.fill_diagonal(excess, 0)
    return np.asarray(excess, np.float32)
