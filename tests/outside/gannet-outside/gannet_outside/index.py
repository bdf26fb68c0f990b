"""An index."""

import numpy as np

from gannet.codes import hamming


class BruteForce:
    """Compare every query with every code, and count the searches."""

    searches = 0

    def __init__(self, codes, n_bits, ids):
        self.codes, self.n_bits, self.ids = codes, n_bits, ids

    def __len__(self):
        return len(self.codes)

    def search(self, queries, k):
        type(self).searches += 1
        distances = hamming(queries, self.codes)
        order = np.array([np.lexsort((self.ids, row))[:k] for row in distances])
        return np.take_along_axis(distances, order, axis=1), self.ids[order]

    def radius(self, queries, r):
        found = zip(*self.search(queries, len(self)), strict=True)
        return [(distances[distances <= r], ids[distances <= r]) for distances, ids in found]

    def add(self, codes, ids=None):
        ids = self.ids.max(initial=-1) + 1 + np.arange(len(codes)) if ids is None else np.asarray(ids)
        self.codes, self.ids = np.concatenate([self.codes, codes]), np.concatenate([self.ids, ids])
        return ids

    def remove(self, ids):
        kept = ~np.isin(self.ids, ids)
        self.codes, self.ids = self.codes[kept], self.ids[kept]
