"""A tiny model, for tests that need a collection but no particular model."""

from __future__ import annotations

import numpy as np

from gannet.encoders import Linear
from gannet.model import Model


def tiny_model(n_bits: int, seed: int = 0) -> Model:
    """Return a model of vectors of four values; models of other seeds have other ids."""
    weight = np.random.default_rng(seed).standard_normal((4, n_bits)).astype(np.float32)
    return Model(Linear(np.zeros(4, np.float32), weight, np.zeros(n_bits, np.float32)), "lsh")
