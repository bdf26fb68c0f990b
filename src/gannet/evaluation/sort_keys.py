"""Integers that sort like floats."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def sort_keys(similarities: npt.NDArray[np.float32], low: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return keys that order ``similarities (b, m)``, highest first, then by ``low (m,)``, which has up to 32 bits.

    The upper 32 bits of a key are equal if and only if the similarities are, and the lower 32 bits are ``low``. Sorting
    integers is much faster than a stable argsort, and no array has to be rearranged by the result.
    """
    distances = 0 - similarities  # not -x, which would distinguish 0 from -0
    bits = distances.view(np.uint32)
    ordered = np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(1 << 31))
    return ordered.astype(np.uint64) << np.uint64(32) | low
