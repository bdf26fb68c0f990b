"""Random hyperplanes."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

from gannet.encoders import Floats, Linear
from gannet.hashers.base import Hasher


class LSH(Hasher):
    """Locality-sensitive hashing: the side of a random hyperplane is a bit, so angles become Hamming distances.

    Charikar 2002, section 3: for a random Gaussian vector r, the bits ``sign(r . x)`` of two items differ with
    probability angle / pi. The features are centred first (the paper's vectors have no origin to speak of, image
    features do: without it most bits are constant).

    Parameters: ``n_bits``, length of the codes; ``random_state``, seed of the hyperplanes.
    """

    name = "lsh"
    reference = "Charikar, Similarity Estimation Techniques from Rounding Algorithms, STOC 2002"

    def __init__(self, n_bits: int = 64, *, random_state: int | None = 0) -> None:
        self.n_bits = n_bits
        self.random_state = random_state

    def _learn(self, features: Floats) -> Linear:
        random = check_random_state(self.random_state)
        hyperplanes = random.standard_normal((features.shape[1], self.n_bits)).astype(np.float32)
        return Linear(features.mean(axis=0), hyperplanes, np.zeros(self.n_bits, np.float32))
