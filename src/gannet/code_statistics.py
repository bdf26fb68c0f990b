"""Statistics of a set of codes: how well they use their bits."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, as_words, check_codes

_CODES_AT_ONCE = 1 << 16


class CodeStatistics(TypedDict):
    """Statistics of ``n`` codes; all but ``distinct``, the number of different codes, are None if ``n`` is 0.

    ``balance_min`` and ``balance_max`` are the lowest and the highest share of ones of a bit; 0.5 is best for both.
    ``entropy`` is the entropy of a bit, averaged over the bits; 1 is best.
    """

    distinct: int
    balance_min: float | None
    balance_max: float | None
    entropy: float | None


def code_statistics(codes: Codes, n_bits: int) -> CodeStatistics:
    """Return the statistics of packed codes ``(n, ceil(n_bits / 8))``."""
    checked = check_codes(codes, n_bits)
    if not len(checked):
        return CodeStatistics(distinct=0, balance_min=None, balance_max=None, entropy=None)
    ones = np.zeros(n_bits, np.int64)
    for start in range(0, len(checked), _CODES_AT_ONCE):
        part = checked[start : start + _CODES_AT_ONCE]
        ones += np.unpackbits(part, axis=1, count=n_bits).sum(axis=0, dtype=np.int64)
    share = ones / len(checked)
    sides = np.clip(np.stack([share, 1 - share]), np.finfo(np.float64).tiny, 1)  # 0 log 0 is 0
    entropy = -(sides * np.log2(sides)).sum(axis=0).mean()
    return CodeStatistics(
        distinct=_distinct(as_words(checked)),
        balance_min=float(share.min()),
        balance_max=float(share.max()),
        entropy=float(np.clip(entropy, 0, 1)),
    )


def _distinct(words: npt.NDArray[np.uint64]) -> int:
    order = np.lexsort(words.T)
    return 1 + int((words[order[1:]] != words[order[:-1]]).any(axis=1).sum())
