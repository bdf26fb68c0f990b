"""Random hyperplanes."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

from gannet.encoders import Floats, Linear
from gannet.hashers.base import Hasher


class LSH(Hasher):
    """Locality-sensitive hashing with random hyperplanes.

    Each bit is the side of a random hyperplane on which an item lies. For a random Gaussian vector r, the bits
    ``sign(r . x)`` of two items differ with probability angle / pi [1]_, so that Hamming distances estimate angles.

    The features are centered first: image features lie far from the origin, and most bits would be constant without it.

    References
    ----------
    .. [1] Charikar, "Similarity Estimation Techniques from Rounding Algorithms", STOC 2002, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import LSH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> LSH(n_bits=32).fit_transform(features).shape
    (100, 4)
    """

    name = "lsh"
    reference = "Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002"

    def _learn(self, features: Floats) -> Linear:
        random = check_random_state(self.random_state)
        hyperplanes = random.standard_normal((features.shape[1], self.n_bits)).astype(np.float32)
        return Linear(features.mean(axis=0), hyperplanes, np.zeros(self.n_bits, np.float32))
