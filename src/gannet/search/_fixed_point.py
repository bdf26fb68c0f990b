"""Cosines of many pairs of features: which features are alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Read = Callable[[Positions], npt.NDArray[np.floating]]
"""Returns the features ``(m, d)`` of the items at some positions ``(m,)``."""

_ONE = 32767
_VALUES_A_PART = 128
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class FixedPoint:
    """Features at unit length in fixed point: products add up without rounding, in the least memory that will do.

    A value is off by 2^-16 at most, which moves cosines of real features by some 1e-5. A row of zeros stays one: it is
    like no other.

    Attributes
    ----------
        values: ``(n, parts, 128)`` int16, filled up with zeros.
        lengths: ``(n, parts)`` float64, the length of what is left of a row from each part on.
    """

    values: npt.NDArray[np.int16]
    lengths: npt.NDArray[np.float64]

    @classmethod
    def read(cls, features: Read, positions: Positions) -> Self:
        """Return the features of the items at ``positions (n,)``, which are read some thousand at a time."""
        n, d = len(positions), features(positions[:0]).shape[1]
        n_parts = -(-d // _VALUES_A_PART)
        values = np.zeros((n, n_parts, _VALUES_A_PART), np.int16)
        lengths = np.empty((n, n_parts))
        for start in range(0, n, _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            rows = np.asarray(features(positions[some]), np.float64)
            size = np.linalg.norm(rows, axis=1, keepdims=True)
            values[some].reshape(len(rows), -1)[:, :d] = np.rint(rows * (_ONE / np.where(size > 0, size, 1)))
            squares = np.square(values[some].astype(np.float64)).sum(axis=2)
            lengths[some] = np.sqrt(squares[:, ::-1].cumsum(axis=1)[:, ::-1])
        return cls(values, lengths)

    @classmethod
    def none(cls) -> Self:
        """Return the features where there are none."""
        return cls(np.empty((0, 0, _VALUES_A_PART), np.int16), np.empty((0, 0)))
