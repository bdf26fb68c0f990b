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
    """``radius^2 - |x - pivot|^2``: a bit is 1 for an item inside or on its hypersphere."""

    kind: ClassVar[str] = "spheres"

    pivots: Floats  # (n_bits, n_features)
    radii: Floats  # (n_bits,)

    @property
    def n_features(self) -> int:
        return int(self.pivots.shape[1])

    @property
    def n_bits(self) -> int:
        return int(self.pivots.shape[0])

    def values(self, features: Floats) -> Floats:
        """Return ``radius^2 - |features - pivot|^2`` for each pivot."""
        return np.asarray(self.radii**2 - squared_distances(features, self.pivots), np.float32)


class SpH(Hasher):
    """Spherical hashing: hyperspheres that each hold half of the items, while every two share a quarter.

    Each radius is set so that the sphere holds half of the m items. For each pair of pivots with ``o_ij`` items in both
    spheres, the force ``f_ij = 1/2 (o_ij - m/4) / (m/4) (p_i - p_j)`` moves p_i by ``sum_j f_ij / n_bits``: apart if
    the spheres share too many items, together if they share too few. Iterations stop when the mean of ``|o_ij - m/4|``
    is at most ``mean_tolerance`` of m/4 and the standard deviation of ``o_ij`` at most ``std_tolerance`` of it [1]_.

    Rankings use the plain Hamming distance, as for all methods here, and not the paper's spherical Hamming distance
    (the bits that differ, divided by the bits that are 1 in both).

    The paper does not specify the following. Here a pivot starts at the mean of ``n_initial`` random items, which is
    near the center, where the paper saw faster convergence; a radius lies midway between the two middle distances; all
    training items take part (the paper: 100,000 of them); after ``n_iterations`` iterations the present spheres are
    used, so that items for which no such spheres exist, such as few or one-dimensional ones, still get codes.

    Parameters
    ----------
    mean_tolerance : float, default=0.1
        Largest mean deviation of the shared items from a quarter, relative to it (the paper: 0.10).
    std_tolerance : float, default=0.15
        Largest standard deviation of the shared items, relative to a quarter (the paper: 0.15).
    n_initial : int, default=5
        Random items whose mean is a first pivot (published implementations: 5).
    n_iterations : int, default=100
        Iterations at most (the paper: no limit, and ends within 10 to 30).

    Attributes
    ----------
    n_iterations_ : int
        Iterations that were taken.

    References
    ----------
    .. [1] Heo, Lee, He, Chang, Yoon, "Spherical Hashing", CVPR 2012.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.sph import SpH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> SpH(n_bits=16).fit_transform(features).shape
    (100, 2)
    """

    name = "sph"
    reference = "Heo, Lee, He, Chang, Yoon, Spherical Hashing, CVPR 2012"

    mean_tolerance: float = 0.1
    std_tolerance: float = 0.15
    n_initial: int = 5
    n_iterations: int = 100

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
    # Relative to the mean of the pivots: far from the origin, the three terms would cancel to noise.
    origin = pivots.mean(axis=0)
    items, centers = features - origin, pivots - origin
    lengths = np.einsum("nd,nd->n", items, items)[:, None] + np.einsum("pd,pd->p", centers, centers)
    return np.asarray(np.maximum(lengths - 2 * (items @ centers.T), 0), np.float32)


def half_radii(distances: Floats) -> Floats:
    """Return the radius that holds ``n // 2`` items for each column of squared ``distances (n, n_pivots)``.

    It lies midway between the two middle distances, so that rounding moves no item across it. If these are equal, the
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
