"""A method."""

import numpy as np

from gannet.encoders import Linear
from gannet.hashers.base import Hasher


class Alternating(Hasher):
    """Signs of the centered features, taken in turn until there are enough bits."""

    name = "alternating"
    reference = "an example"

    def __init__(self, n_bits: int = 64, *, random_state: int | None = 0) -> None:
        self.n_bits = n_bits
        self.random_state = random_state

    def _learn(self, features):
        n_features = features.shape[1]
        turns = np.arange(self.n_bits) % n_features
        projection = np.eye(n_features, dtype=np.float32)[:, turns]
        return Linear(features.mean(axis=0), projection, np.zeros(self.n_bits, np.float32))
