"""Signs of principal components, unchanged or after a random rotation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import PCA
from sklearn.utils import check_random_state

from gannet.encoders import Floats, Linear
from gannet.hashers.base import Hasher
from gannet.methods.itq import check_bits_per_feature, random_rotation


class PCAH(Hasher):
    """Signs of the first principal components.

    The rows of W are the ``n_bits`` eigenvectors of the covariance with the largest eigenvalues, and the code of x is
    ``sign(W (x - mean))`` [1]_. All bits count the same, although the last components have a small variance.

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes in bits, at most the number of features.

    References
    ----------
    .. [1] Wang, Kumar, Chang, "Semi-Supervised Hashing for Large-Scale Search", TPAMI 2012, where
       this is the unsupervised method to which others are compared.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import PCAH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> PCAH(n_bits=12).fit_transform(features).shape
    (100, 2)
    """

    name = "pcah"
    reference = "Wang, Kumar, Chang, Semi-Supervised Hashing for Large-Scale Search, TPAMI 2012"

    def _learn(self, features: Floats) -> Linear:
        check_bits_per_feature(self.name, self.n_bits, features)
        pca = PCA(self.n_bits, svd_solver="auto", random_state=check_random_state(self.random_state)).fit(features)
        weight = (pca.components_.T @ self._rotation()).astype(np.float32)
        return Linear(pca.mean_.astype(np.float32), weight, np.zeros(self.n_bits, np.float32))

    def _rotation(self) -> npt.NDArray[np.floating]:
        """Return the orthogonal matrix ``(n_bits, n_bits)`` that is applied to the components."""
        return np.eye(self.n_bits)


class RotatedPCAH(PCAH):
    """Signs of the first principal components after a random rotation.

    The components are multiplied by a random orthogonal matrix before the sign, which gives all bits about the same
    variance. The rotation is not learned: `ITQ` starts from the same one and improves it. On the features of large
    pre-trained networks, this is the strong baseline of [1]_. It compares codes of the database with the sigmoids of
    the query's values; Gannet's asymmetric order with the values themselves.

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes in bits, at most the number of features.
    random_state : int or None, default=0
        Seed for the rotation (the authors' code: figures are means over ten rotations).

    References
    ----------
    .. [1] Moummad, Zaher, Rauch, Joly, "Hashing-Baseline: Rethinking Hashing in the Age of Pretrained Models",
       arXiv:2509.14427, 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import RotatedPCAH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> RotatedPCAH(n_bits=12).fit_transform(features).shape
    (100, 2)
    """

    name = "pcah-rot"
    reference = (
        "Moummad, Zaher, Rauch, Joly, Hashing-Baseline: Rethinking Hashing in the Age of Pretrained Models, "
        "arXiv:2509.14427, 2025"
    )

    def _rotation(self) -> npt.NDArray[np.floating]:
        return random_rotation(self.n_bits, check_random_state(self.random_state))
