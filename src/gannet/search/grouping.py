"""Groups of near-duplicates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.search.index import HammingIndex

_CODES_A_BATCH = 4096


def group_codes(codes: Codes, n_bits: int, radius: int) -> list[npt.NDArray[np.int64]]:
    """Return the positions, ascending, of each group of two or more codes, the largest group first, then by position.

    Two codes ``(n, ceil(n_bits / 8))`` are in one group if a chain of codes leads from one to the other by steps of at
    most ``radius`` bits.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    # Equal codes are one: items may share a code by thousands.
    distinct, label = np.unique(codes, axis=0, return_inverse=True)
    if radius > 0 and len(distinct):
        index = HammingIndex(distinct, n_bits)
        pairs = []
        for start in range(0, len(distinct), _CODES_A_BATCH):
            near = index.radius(distinct[start : start + _CODES_A_BATCH], radius)
            pairs += [np.stack([np.full(len(to), i), to]) for i, (_, to) in enumerate(near, start)]
        rows, columns = np.concatenate(pairs, axis=1)
        links = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(distinct),) * 2)
        label = connected_components(links, directed=False)[1][label]
    order = np.argsort(label, kind="stable")
    ends = np.flatnonzero(np.diff(label[order])) + 1
    groups = [group for group in np.split(order, ends) if len(group) > 1]
    return sorted(groups, key=lambda group: (-len(group), int(group[0])))
