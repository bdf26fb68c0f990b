"""Codes of many items that lie to one another as the codes of real features do.

`LearnedCodes` fits ITQ on real features and makes any number of further items: each lies between a real item and one
of its real neighbors, with noise, in the space whose signs are the bits. ITQ is linear before the signs, so items
between features and items between their projections are the same. Queries are real items that nothing was made from.
"""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

from gannet import ITQ
from gannet.codes import Codes, pack

N_NEIGHBORS = 10
NOISE = 0.45
"""Length of the noise relative to the distance between an item and its neighbor; see `main`."""
_AT_ONCE = 1 << 17


class LearnedCodes:
    """A generator of codes, fitted to real features ``(n, d)``, of which the last ``n_queries`` are kept as queries."""

    def __init__(self, features: np.ndarray, n_bits: int, n_queries: int) -> None:
        database, queries = features[:-n_queries], features[-n_queries:]
        encoder = ITQ(n_bits=n_bits, random_state=0).fit(database).encoder_
        self.queries = encoder.encode(queries)
        self.values = encoder.values(database).astype(np.float32)
        # Neighbors by the projections: they are a basis of the directions in which features vary most.
        search = NearestNeighbors(n_neighbors=N_NEIGHBORS + 1, n_jobs=-1).fit(self.values)
        self.neighbors = search.kneighbors(self.values, return_distance=False)[:, 1:]

    def real(self) -> Codes:
        """Return the codes of the real items."""
        return pack(self.values > 0)

    def make(self, n: int, seed: int = 0) -> Codes:
        """Return codes ``(n, n_bits / 8)`` of further items."""
        random = np.random.default_rng(seed)
        n_bits = self.values.shape[1]
        codes = np.empty((n, n_bits // 8), np.uint8)
        for start in range(0, n, _AT_ONCE):
            size = min(_AT_ONCE, n - start)
            rows = random.integers(0, len(self.values), size)
            items = self.values[rows]
            toward = self.values[self.neighbors[rows, random.integers(0, N_NEIGHBORS, size)]] - items
            length = np.linalg.norm(toward, axis=1, keepdims=True) * np.float32(NOISE / np.sqrt(n_bits))
            items += random.random((size, 1), np.float32) * toward
            items += length * random.standard_normal(items.shape, np.float32)
            codes[start : start + size] = np.packbits(items > 0, axis=1)
        return codes
