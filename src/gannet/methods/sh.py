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
    """Spectral hashing: the slowest standing waves on a box around the items, thresholded at zero.

    On a uniform density over ``[a, b]`` the graph Laplacian has the eigenfunctions ``sin(pi/2 + k pi / (b - a) x)``
    with the eigenvalues ``1 - exp(-eps^2/2 |k pi / (b - a)|^2)``, k = 1, 2, ... [1]_. A box is laid around the items
    along their principal components. Among the eigenfunctions of all its directions, without the constant one (k = 0),
    the ``n_bits`` with the smallest eigenvalues each give the bit ``value >= 0``; one direction may give several bits.
    Their order does not depend on eps, the width of the neighborhood, so eps is not a setting. Products of
    eigenfunctions of two directions are not used, as in the paper, since they depend on the other bits.

    The paper does not specify the following. Here there are ``min(n_bits, n_features)`` components; the box ends at the
    smallest and largest training item along each; of equal eigenvalues, the larger component's comes first; the
    waves continue outside the box.

    Parameters
    ----------
    random_state : int or None, default=0
        Seed for the solver of the principal components.

    References
    ----------
    .. [1] Weiss, Torralba, Fergus, "Spectral Hashing", NIPS 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.sh import SH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> SH(n_bits=24).fit_transform(features).shape
    (100, 3)
    """

    name = "sh"
    reference = "Weiss, Torralba, Fergus, Spectral Hashing, NIPS 2008"

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
    """Return the directions and wave numbers k >= 1, ``(n_modes,)`` each, of the smallest eigenvalues on a box.

    ``sides (n_directions,)`` are the lengths of the box, of which at least one is above zero; a direction of length
    zero has no waves. Eigenvalues grow with ``k / side``, so the modes are sorted by it, ties by direction.
    """
    wave_numbers = np.arange(1, n_modes + 1)
    with np.errstate(divide="ignore"):
        rates = wave_numbers / sides[:, None]
    order = np.argsort(rates, axis=None, kind="stable")[:n_modes]
    directions, columns = np.unravel_index(order, rates.shape)
    return directions, wave_numbers[columns]
