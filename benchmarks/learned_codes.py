"""Codes of many items that lie to one another as the codes of real features do.

`LearnedCodes` fits ITQ on real features and makes any number of further items: each lies between a real item and one
of its real neighbors, with noise, in the space whose signs are the bits. ITQ is linear before the signs, so items
between features and items between their projections are the same. Queries are real items that nothing was made from.
"""

from __future__ import annotations

import numba
import numpy as np
from sklearn.neighbors import NearestNeighbors

from gannet import ITQ
from gannet.codes import Codes, pack

N_NEIGHBORS = 10
NOISE = 0.45
"""Length of the noise relative to the distance between an item and its neighbor.

With it, the distances from a query to its tenth neighbor, and those between the items, are those of the real codes:
among as many made ones as real ones, 7, 11 and 15 bits (tenth, middle and last tenth of the queries) at 64 bits.
"""
NOISES = 1 << 16
"""Number of noise vectors from which each item takes one."""


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
        codes = np.zeros((n, self.values.shape[1] // 8), np.uint8)
        pool = np.random.default_rng(seed).standard_normal((NOISES, self.values.shape[1]), np.float32)
        pool *= NOISE / np.sqrt(self.values.shape[1])
        _fill(self.values, self.neighbors, pool, seed, codes)
        return codes


@numba.njit(nogil=True)
def _fill(values: np.ndarray, neighbors: np.ndarray, pool: np.ndarray, seed: int, codes: np.ndarray) -> None:
    np.random.seed(seed)  # noqa: NPY002 - the generator that numba compiles
    for i in range(len(codes)):
        row = np.random.randint(len(values))  # noqa: NPY002
        item = values[row]
        neighbor = values[neighbors[row, np.random.randint(neighbors.shape[1])]]  # noqa: NPY002
        share = np.float32(np.random.random())  # noqa: NPY002
        noise = pool[np.random.randint(len(pool))]  # noqa: NPY002
        squares = np.float32(0)
        for bit in range(len(item)):
            squares += (neighbor[bit] - item[bit]) ** 2
        length = np.sqrt(squares)
        for bit in range(len(item)):
            if item[bit] + share * (neighbor[bit] - item[bit]) + length * noise[bit] > 0:
                codes[i, bit >> 3] |= np.uint8(128 >> (bit & 7))
