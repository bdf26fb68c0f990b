"""Features in fixed point, for comparing the cosines of many pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int64]
Read = Callable[[Positions], npt.NDArray[np.floating]]
"""A function from positions ``(m,)`` to the features ``(m, d)`` of the items there."""

_ONE = 32767
_VALUES_PER_PART = 128
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class FixedPoint:
    """Features at unit length in fixed point, whose products are summed without rounding.

    The error of a value is at most 2^-16, which changes cosines of real features by about 1e-5. A row of zeros stays
    zero, and is like no other row. ``values (n, parts, 128)`` are padded with zeros; ``lengths (n, parts)`` are the
    lengths of a row from each part to its end.
    """

    values: npt.NDArray[np.int16]
    lengths: npt.NDArray[np.float64]

    @classmethod
    def read(cls, features: Read, positions: Positions) -> Self:
        """Return the features of the items at ``positions (n,)``, which are read in blocks of 4,096."""
        n, d = len(positions), features(positions[:0]).shape[1]
        n_parts = -(-d // _VALUES_PER_PART)
        values = np.zeros((n, n_parts, _VALUES_PER_PART), np.int16)
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
        """Return an empty object, for grouping without features."""
        return cls(np.empty((0, 0, _VALUES_PER_PART), np.int16), np.empty((0, 0)))
