"""Groups of near-duplicates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.search.index import HammingIndex

_CODES_A_BATCH = 4096


def group_duplicates(
    ids: npt.NDArray[np.int64], codes: Codes, n_bits: int, radius: int
) -> Sequence[npt.NDArray[np.int64]]:
    """Return the groups of two or more items that are linked by steps of at most ``radius`` bits.

    Parameters: ``ids (n,)`` ascending, their ``codes (n, w)``.
    Returns: each group's ids, ascending; groups by their first id.
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
    groups = [group for group in np.split(ids[order], ends) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))
