"""Fitted hash functions as plain arrays: what a model file holds and what a query needs.

A hasher learns; what it has learned is an encoder, which needs nothing but NumPy. That is why searching never waits
for scikit-learn or torch to start.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.errors import GannetError
from gannet.support.arrays import unit_rows

Floats = npt.NDArray[np.float32]

_CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class Encoder:
    """A fitted function from features ``(n, n_features)`` to real values ``(n, n_bits)`` before the sign.

    Subclasses are frozen dataclasses of float32 arrays. ``kind`` names them in model files, where each field
    is stored under its own name. Where ``item_shape`` is that of an image, items are pixels instead of features.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Encoder]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Encoder.kinds[cls.kind] = cls

    @property
    def n_features(self) -> int:
        """Length of the vectors it takes."""
        raise NotImplementedError

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item: ``(n_features,)``, or ``(side, side, 3)`` of an encoder that reads pixels."""
        return (self.n_features,)

    @property
    def n_bits(self) -> int:
        """Length of the codes it makes."""
        raise NotImplementedError

    def values(self, features: Floats) -> Floats:
        """Return the values before the sign, ``(n, n_bits)``, for float32 ``features (n, n_features)``."""
        raise NotImplementedError

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays to store, by field name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def encode(self, features: npt.ArrayLike) -> Codes:
        """Return the codes ``(n, ceil(n_bits / 8))`` of ``features (n, n_features)``, in bounded memory.

        Raises: `GannetError` for features of another length, or with NaN or infinity in them (the row is named).
        """
        rows = np.asarray(features)
        if rows.ndim == 0 or rows.shape[1:] != self.item_shape:
            shape = ", ".join(map(str, ("n", *self.item_shape)))
            raise GannetError(f"features must have shape ({shape}) as in training, not {rows.shape}")
        step = max(1, _CHUNK_BYTES // (4 * self.n_features))
        codes = np.empty((len(rows), -(-self.n_bits // 8)), np.uint8)
        for start in range(0, len(rows), step):
            with np.errstate(over="ignore"):
                chunk = np.ascontiguousarray(rows[start : start + step], dtype=np.float32)
            check_finite(chunk.reshape(len(chunk), -1), start)
            codes[start : start + step] = np.packbits(self.values(chunk) >= 0, axis=1)
        return codes


@dataclass(frozen=True)
class Linear(Encoder):
    """``(x - mean) @ weight + bias``: random hyperplanes, rotated principal components and the like."""

    kind: ClassVar[str] = "linear"

    mean: Floats  # (n_features,)
    weight: Floats  # (n_features, n_bits)
    bias: Floats  # (n_bits,)

    @property
    def n_features(self) -> int:
        """Length of the vectors it takes."""
        return int(self.weight.shape[0])

    @property
    def n_bits(self) -> int:
        """Length of the codes it makes."""
        return int(self.weight.shape[1])

    def values(self, features: Floats) -> Floats:
        """Return ``(features - mean) @ weight + bias``."""
        return np.asarray((features - self.mean) @ self.weight + self.bias, np.float32)


@dataclass(frozen=True)
class UnitLinear(Linear):
    """A linear layer on centred features of unit length: what a network's hash layer sees in training."""

    kind: ClassVar[str] = "unit-linear"

    def values(self, features: Floats) -> Floats:
        """Return ``normalize(features - mean) @ weight + bias``."""
        return np.asarray(center_and_normalize(features, self.mean) @ self.weight + self.bias, np.float32)


def check_finite(features: Floats, first_row: int = 0) -> None:
    """Raise a `GannetError` that names the first row of ``features (n, n_features)`` with NaN or infinity in it."""
    # One sum a row needs no copy of the features; in float64 it overflows for no float32 values.
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(features.sum(axis=1, dtype=np.float64))
    if bad.any():
        row = first_row + int(bad.argmax())
        raise GannetError(f"row {row} of the features holds NaN or infinity: drop or repair it")


def center_and_normalize(features: Floats, mean: Floats) -> Floats:
    """Return ``features (..., d) - mean (d,)`` at unit Euclidean length; a vector equal to the mean becomes zero."""
    return np.asarray(unit_rows(features - mean), np.float32)
