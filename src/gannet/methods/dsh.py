"""Density sensitive hashing."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import euclidean_distances
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from gannet.encoders import Floats, Linear
from gannet.errors import GannetError
from gannet.hashers.base import Hasher

Pairs = npt.NDArray[np.intp]


class DSH(Hasher):
    """Density sensitive hashing: the planes between neighboring groups of items that split the items most evenly.

    k-means makes ``groups_per_bit * n_bits`` groups. Two groups are r-adjacent if the center of one is among the
    ``n_adjacent`` nearest to the center of the other. The median plane of an adjacent pair with centers u and v is ``(x
    - (u + v) / 2) . (u - v) = 0``, and its bit is 1 on the side of u. With P the share of the items whose group has its
    center on that side, the balance of a plane is the entropy ``-P log P - (1 - P) log(1 - P)``. The method takes the
    ``n_bits`` planes with the largest entropy [1]_.

    The paper does not specify the following. Here k-means starts from random items; the number of groups is rounded and
    at most the number of items; empty groups are dropped; planes of equal entropy are ordered by the distance of their
    centers, closest first.

    Parameters
    ----------
    groups_per_bit : float, default=1.5
        Groups of k-means per bit (the paper's alpha: 1.5).
    n_iterations : int, default=3
        Iterations of k-means (the paper's p: 3).
    n_adjacent : int, default=3
        Nearest groups that are adjacent to a group (the paper's r: 3).

    References
    ----------
    .. [1] Jin, Li, Lin, Cai, "Density Sensitive Hashing", IEEE Transactions on Cybernetics 2014 (arXiv 1205.2930).

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.dsh import DSH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> DSH(n_bits=16).fit_transform(features).shape
    (100, 2)
    """

    name = "dsh"
    reference = "Jin, Li, Lin, Cai, Density Sensitive Hashing, IEEE Transactions on Cybernetics 2014"

    groups_per_bit: float = 1.5
    n_iterations: int = 3
    n_adjacent: int = 3

    def _learn(self, features: Floats) -> Linear:
        if self.groups_per_bit <= 0 or self.n_iterations < 1 or self.n_adjacent < 1:
            raise GannetError("groups_per_bit must be above 0, n_iterations and n_adjacent at least 1")
        mean = features.mean(axis=0)
        centers, shares = self._groups(features - mean)
        pairs = adjacent_pairs(centers, self.n_adjacent)
        if len(pairs) < self.n_bits:
            raise GannetError(
                f"dsh found {len(pairs)} planes between {len(centers)} groups, too few for {self.n_bits} bits: ask for "
                "fewer bits, give more distinct items, or raise groups_per_bit or n_adjacent"
            )
        weight, bias = median_planes(centers, pairs)
        best = np.argsort(-plane_entropies(centers, shares, weight, bias), kind="stable")[: self.n_bits]
        return Linear(mean, np.ascontiguousarray(weight[:, best]), bias[best])

    def _groups(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the centers ``(k, d)`` of the groups that are not empty, and their shares ``(k,)`` of the items."""
        n_groups = min(max(2, round(self.groups_per_bit * self.n_bits)), len(features))
        random = check_random_state(self.random_state)
        kmeans = KMeans(n_groups, init="random", n_init=1, max_iter=self.n_iterations, random_state=random)
        # One thread: the order in which threads add would change the last digits of the centers.
        with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
            # Fewer distinct items than groups: _learn raises an error.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans.fit(features)
        sizes = np.bincount(kmeans.labels_, minlength=n_groups)
        filled = sizes > 0
        return kmeans.cluster_centers_[filled], (sizes[filled] / len(features)).astype(np.float32)


def adjacent_pairs(centers: Floats, n_adjacent: int) -> Pairs:
    """Return the pairs i < j of r-adjacent groups, ``(n_pairs, 2)``, closest first, for ``centers (k, d)``."""
    distances = euclidean_distances(centers)
    np.fill_diagonal(distances, np.inf)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, : min(n_adjacent, len(centers) - 1)]
    adjacent = np.zeros(distances.shape, bool)
    np.put_along_axis(adjacent, nearest, True, axis=1)
    first, second = np.nonzero(np.triu(adjacent | adjacent.T))
    order = np.argsort(distances[first, second], kind="stable")
    return np.stack([first, second], axis=1)[order]


def median_planes(centers: Floats, pairs: Pairs) -> tuple[Floats, Floats]:
    """Return normals ``(d, n_pairs)`` and offsets ``(n_pairs,)`` of the planes midway between pairs of centers."""
    first, second = centers[pairs[:, 0]], centers[pairs[:, 1]]
    normals = first - second
    return np.ascontiguousarray(normals.T), -np.einsum("pd,pd->p", (first + second) / 2, normals)


def plane_entropies(centers: Floats, shares: Floats, weight: Floats, bias: Floats) -> Floats:
    """Return the entropy ``(n_planes,)`` of each plane's split of the groups, weighted by ``shares (k,)``."""
    above = shares @ (centers @ weight + bias >= 0)
    split = np.clip(np.stack([above, 1 - above]), np.finfo(np.float32).tiny, 1)
    return np.asarray(-(split * np.log(split)).sum(axis=0), np.float32)
