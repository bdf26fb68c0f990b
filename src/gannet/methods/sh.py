"""Spectral hashing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from gannet.encoders import Floats, Linear
from gannet.hashers.base import Hasher


@dataclass(frozen=True)
class Sinusoid(Linear):
    """``sin(pi/2 + (x - mean) @ weight + bias)``: standing waves along directions of the feature space."""

    kind: ClassVar[str] = "sinusoid"

    def values(self, features: Floats) -> Floats:
        """Return ``sin(pi/2 + (features - mean) @ weight + bias)``."""
        return np.cos(super().values(features))


class SH(Hasher):
    """Spectral hashing: the slowest standing waves on a box around the items, cut at zero.

    Weiss, Torralba, Fergus 2008. On a uniform density over ``[a, b]`` the graph Laplacian has
    the eigenfunctions ``sin(pi/2 + k pi / (b - a) x)`` with the eigenvalues ``1 - exp(-eps^2/2 |k pi / (b - a)|^2)``,
    k = 1, 2, ... A box is laid around the items along their principal components; of the eigenfunctions of all its
    directions, the ``n_bits`` with the smallest eigenvalues (k = 0, the constant one, left out) each give the bit
    ``value >= 0``. The order does not depend on eps, the width of the neighbourhood, which is why it is no setting.
    As in the paper, products of eigenfunctions of two directions are not used: they depend on bits already there.

    Left open by the paper and chosen here: the number of components, ``min(n_bits, n_features)``; the ends of the box,
    the smallest and largest training item along each; of equal eigenvalues, the one of the larger component comes
    first; an item outside the box continues the wave.

    Parameters: ``n_bits``, length of the codes, of which one direction may give several; ``random_state``, seed of the
    solver for the principal components. The paper has no other setting.
    """

    name = "sh"
    reference = "Weiss, Torralba, Fergus, Spectral Hashing, NIPS 2008"

    def __init__(self, n_bits: int = 64, *, random_state: int | None = 0) -> None:
        self.n_bits = n_bits
        self.random_state = random_state

    def _learn(self, features: Floats) -> Sinusoid:
        n_components = min(self.n_bits, features.shape[1])
        pca = PCA(n_components, svd_solver="auto", random_state=check_random_state(self.random_state))
        projected = pca.fit_transform(features).astype(np.float64)
        starts, ends = projected.min(axis=0), projected.max(axis=0)
        components, modes = slowest_modes(ends - starts, self.n_bits)
        frequencies = modes * np.pi / (ends - starts)[components]
        return Sinusoid(
            pca.mean_.astype(np.float32),
            np.ascontiguousarray(pca.components_[components].T * frequencies, np.float32),
            (-starts[components] * frequencies).astype(np.float32),
        )


def slowest_modes(
    sides: npt.NDArray[np.float64], n_modes: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.integer[Any]]]:
    """Return direction and wave number k >= 1, ``(n_modes,)`` each, of the smallest eigenvalues on a box.

    ``sides (n_directions,)`` are the lengths of the box, at least one above zero; a direction of length zero has no
    waves. The eigenvalue grows with ``k / side``, so that is what is sorted, ties by direction.
    """
    wave_numbers = np.arange(1, n_modes + 1)
    with np.errstate(divide="ignore"):
        rates = wave_numbers / sides[:, None]
    order = np.argsort(rates, axis=None, kind="stable")[:n_modes]
    directions, columns = np.unravel_index(order, rates.shape)
    return directions, wave_numbers[columns]
