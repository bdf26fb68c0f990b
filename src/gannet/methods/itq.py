"""Iterative quantization."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from gannet.encoders import Floats, Linear
from gannet.errors import GannetError
from gannet.hashers.base import Hasher
from gannet.support.threads import share

_ROWS_AT_ONCE = 1 << 10
_MOST_PARTS = 64


class ITQ(Hasher):
    """Iterative quantization: principal components, rotated to lose little by taking signs.

    With V the projections on the first ``n_bits`` principal components, it alternates ``B = sign(V R)`` and the
    orthogonal Procrustes solution R of ``min |B - V R|_F`` (eq. 2 of [1]_), from a random rotation.

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes in bits, at most the number of features.
    n_iterations : int, default=50
        Iterations (the paper: 50).

    References
    ----------
    .. [1] Gong, Lazebnik, Gordo, Perronnin, "Iterative Quantization: A Procrustean Approach to Learning Binary Codes
       for Large-Scale Image Retrieval", TPAMI 2013, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import ITQ
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> ITQ(n_bits=12).fit_transform(features).shape
    (100, 2)
    """

    name = "itq"
    reference = (
        "Gong, Lazebnik, Gordo, Perronnin, Iterative Quantization: A Procrustean Approach to Learning Binary "
        "Codes for Large-Scale Image Retrieval, TPAMI 2013"
    )

    n_iterations: int = 50

    def _learn(self, features: Floats) -> Linear:
        if self.n_iterations < 1:
            raise GannetError(f"n_iterations must be at least 1, not {self.n_iterations}")
        check_bits_per_feature(self.name, self.n_bits, features)
        pca = PCA(self.n_bits, svd_solver="auto", random_state=check_random_state(self.random_state))
        projected = pca.fit_transform(features)
        rotation = self._rotation(projected)
        weight = (pca.components_.T @ rotation).astype(np.float32)
        return Linear(pca.mean_.astype(np.float32), weight, np.zeros(self.n_bits, np.float32))

    def _rotation(self, projected: Floats) -> Floats:
        rotation = random_rotation(self.n_bits, check_random_state(self.random_state)).astype(projected.dtype)
        # Blocks in the cache are much faster. Threads share them, in place of the threads of BLAS.
        with threadpool_limits(1, user_api="blas"):
            for _ in range(self.n_iterations):
                left, _, right = np.linalg.svd(_correlation(projected, rotation))
                rotation = left @ right
        return rotation


def random_rotation(n: int, random: np.random.RandomState) -> npt.NDArray[np.float64]:
    """Return a random orthogonal matrix ``(n, n)``."""
    return np.linalg.qr(random.standard_normal((n, n)))[0]


def check_bits_per_feature(method: str, n_bits: int, features: Floats) -> None:
    """Raise a `GannetError` if there are more bits than features."""
    if n_bits > features.shape[1]:
        raise GannetError(
            f"{method} makes at most one bit per feature, and n_features={features.shape[1]} is under {n_bits}: "
            "ask for fewer bits, or use lsh or uhga"
        )


def _correlation(projected: Floats, rotation: Floats) -> Floats:
    """Return ``V^T sign(V R)`` for V = ``projected``; the order of the sum does not depend on the threads."""
    bounds = np.linspace(0, len(projected), min(_MOST_PARTS, -(-len(projected) // _ROWS_AT_ONCE)) + 1).astype(int)
    parts = np.zeros((len(bounds) - 1, *rotation.shape), rotation.dtype)

    def add(numbers: Iterator[int]) -> None:
        for number in numbers:
            for start in range(bounds[number], bounds[number + 1], _ROWS_AT_ONCE):
                rows = projected[start : min(start + _ROWS_AT_ONCE, bounds[number + 1])]
                values = rows @ rotation
                parts[number] += rows.T @ np.copysign(rotation.dtype.type(1), values, out=values)

    share(range(len(parts)), add)
    return np.asarray(parts.sum(axis=0))
