"""Encoders: fitted hash functions as plain arrays, which a model file stores and a query uses.

A hasher learns an encoder, and the encoder needs only NumPy, so that searching imports neither scikit-learn nor torch.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, n_bytes
from gannet.errors import GannetError
from gannet.support.arrays import unit_rows

Floats = npt.NDArray[np.float32]

CHUNK_BYTES = 1 << 26
"""Bytes of features that are encoded at a time."""
_ROWS_AT_ONCE = 1 << 11  # their arrays stay in the cache
_MOST_ROUNDS = 20
_LEAST_GAIN = 1e-6


@dataclass(frozen=True)
class Encoder:
    """Base class of fitted functions from features to codes.

    A subclass is a frozen dataclass of float32 arrays that defines ``n_features``, ``n_bits`` and ``values``. Defining
    it registers its ``kind``, by which model files name it; they store each field under its own name.

    Attributes
    ----------
    kind : str
        Name of the class in model files.
    kinds : dict of str to type
        All encoder classes by ``kind``.
    """

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Encoder]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Encoder.kinds[cls.kind] = cls

    @property
    def stored_kind(self) -> str:
        """Text by which a model file names the encoder: its ``kind``."""
        return self.kind

    @property
    def n_features(self) -> int:
        """Number of features of an item."""
        raise NotImplementedError

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of an item: ``(n_features,)``, or ``(side, side, 3)`` for an encoder that reads pixels."""
        return (self.n_features,)

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        raise NotImplementedError

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First bit of each part of the code, and the one after its last; most codes have one part."""
        return [(0, self.n_bits)]

    def values(self, features: Floats) -> Floats:
        """Return the values before the sign.

        Parameters
        ----------
        features : ndarray of shape (n, n_features), dtype float32
            Features of the items.

        Returns
        -------
        ndarray of shape (n, n_bits), dtype float32
            Values; a bit is 1 where its value is at least 0.
        """
        raise NotImplementedError

    def bit_weights(self, features: Floats) -> Floats:
        """Return the weights of the bits of queries, by which `gannet.scoring.asymmetric_scores` orders items.

        Parameters
        ----------
        features : ndarray of shape (n, n_features), dtype float32
            Features of the queries.

        Returns
        -------
        ndarray of shape (n, n_bits), dtype float32
            One weight per bit; the values before the sign, unless a subclass returns others.
        """
        return self.values(features)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays to store.

        Returns
        -------
        dict of str to ndarray
            The arrays by field name.
        """
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def encode(self, features: npt.ArrayLike) -> Codes:
        """Return the codes of items, in bounded memory.

        Parameters
        ----------
        features : array-like of shape (n, n_features)
            Features of the items, or items of shape ``item_shape``.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
            Packed codes.

        Raises
        ------
        GannetError
            If the features have another shape, or hold NaN or infinity; the message names the row.
        """
        blocks = [np.packbits(self.values(chunk) >= 0, axis=1) for chunk in self.chunks(features)]
        return np.concatenate([np.empty((0, n_bytes(self.n_bits)), np.uint8), *blocks])

    def chunks(self, features: npt.ArrayLike) -> Iterator[Floats]:
        """Yield the items of `encode`, checked and as float32, a bounded number at a time.

        Parameters
        ----------
        features : array-like of shape (n, n_features)
            Features of the items, or items of shape ``item_shape``.

        Yields
        ------
        ndarray of shape (m, ...), dtype float32
            Consecutive items.

        Raises
        ------
        GannetError
            If the features have another shape, or hold NaN or infinity; the message names the row.
        """
        rows = np.asarray(features)
        if rows.ndim == 0 or rows.shape[1:] != self.item_shape:
            shape = ", ".join(map(str, ("n", *self.item_shape)))
            raise GannetError(f"features must have shape ({shape}) as in training, not {rows.shape}")
        step = max(1, CHUNK_BYTES // (4 * self.n_features))
        for start in range(0, len(rows), step):
            with np.errstate(over="ignore"):
                chunk = np.ascontiguousarray(rows[start : start + step], dtype=np.float32)
            check_finite(chunk.reshape(len(chunk), -1), start)
            yield chunk


@dataclass(frozen=True)
class Linear(Encoder):
    """The values ``(x - mean) @ weight + bias``.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype float32
        Subtracted from the features.
    weight : ndarray of shape (n_features, n_bits), dtype float32
        One direction per bit.
    bias : ndarray of shape (n_bits,), dtype float32
        Offset of each bit.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.encoders import Linear
    >>> encoder = Linear(np.zeros(4, np.float32), np.eye(4, dtype=np.float32), np.zeros(4, np.float32))
    >>> encoder.encode([[1.0, -1.0, 1.0, 1.0]])
    array([[176]], dtype=uint8)
    """

    kind: ClassVar[str] = "linear"

    mean: Floats
    weight: Floats
    bias: Floats

    @property
    def n_features(self) -> int:
        return int(self.weight.shape[0])

    @property
    def n_bits(self) -> int:
        return int(self.weight.shape[1])

    def values(self, features: Floats) -> Floats:
        return np.asarray((features - self.mean) @ self.weight + self.bias, np.float32)


@dataclass(frozen=True)
class UnitLinear(Linear):
    """`Linear` on centered features of unit length, the inputs of a hash layer in training.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype float32
        Subtracted from the features, which are then scaled to unit length.
    weight : ndarray of shape (n_features, n_bits), dtype float32
        One direction per bit.
    bias : ndarray of shape (n_bits,), dtype float32
        Offset of each bit.
    """

    kind: ClassVar[str] = "unit-linear"

    def values(self, features: Floats) -> Floats:
        return np.asarray(center_and_normalize(features, self.mean) @ self.weight + self.bias, np.float32)


@dataclass(frozen=True)
class Decoded(Encoder):
    """The codes from which a linear decoder reconstructs the features best.

    Features are scaled to unit length, centered and scaled to unit length again, to vectors z. The decoder maps a code
    b of -1 and +1 to ``weight @ b``. The code of z is a local minimum of ``|z - weight @ b|^2`` plus a penalty
    ``penalty * target * (|weight @ b|^2 / target - 1)^2``, found by flipping one bit at a time from the signs of
    ``z @ weight``. The penalty keeps the reconstructions of all codes about equally long, so that the inner product of
    a query with a reconstruction, which is the asymmetric score, orders items as the cosine does.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype float32
        Mean of the features at unit length.
    weight : ndarray of shape (n_features, n_bits), dtype float32
        The decoder.
    target : ndarray of shape (1,), dtype float32
        Desired squared length of reconstructions, above 0.
    penalty : ndarray of shape (1,), dtype float32
        Weight of the penalty, at least 0.
    """

    kind: ClassVar[str] = "decoded"

    mean: Floats
    weight: Floats
    target: Floats
    penalty: Floats

    @property
    def n_features(self) -> int:
        return int(self.weight.shape[0])

    @property
    def n_bits(self) -> int:
        return int(self.weight.shape[1])

    def values(self, features: Floats) -> Floats:
        """Return how much the cost would grow if a bit were flipped, negative for bits that are 0."""
        return flipping_costs(self.bit_weights(features), self.gram, float(self.target[0]), float(self.penalty[0]))

    def bit_weights(self, features: Floats) -> Floats:
        """Return the inner products of the query and the columns of the decoder."""
        return np.asarray(center_and_normalize(unit_rows(features), self.mean) @ self.weight, np.float32)

    @functools.cached_property
    def gram(self) -> Floats:
        """Inner products of the columns of the decoder, ``(n_bits, n_bits)``."""
        return np.asarray(self.weight.T @ self.weight, np.float32)


@dataclass(frozen=True)
class Joined(Encoder):
    """The bits of several encoders of the same features, one after the other.

    Parameters
    ----------
    parts : tuple of Encoder
        The encoders, none of which is itself joined.
    """

    kind: ClassVar[str] = "joined"

    parts: tuple[Encoder, ...]

    @property
    def stored_kind(self) -> str:
        """Text by which a model file names the encoder: the kinds of the parts with ``+`` between them."""
        return "+".join(part.kind for part in self.parts)

    @property
    def n_features(self) -> int:
        return self.parts[0].n_features

    @property
    def n_bits(self) -> int:
        return sum(part.n_bits for part in self.parts)

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """First bit of each part, and the one after its last."""
        ends = [0, *accumulate(part.n_bits for part in self.parts)]
        return list(pairwise(ends))

    def values(self, features: Floats) -> Floats:
        return np.concatenate([part.values(features) for part in self.parts], axis=1)

    def bit_weights(self, features: Floats) -> Floats:
        return np.concatenate([part.bit_weights(features) for part in self.parts], axis=1)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays of all parts, named by the number of the part and the field, as in ``0.weight``."""
        return _numbered([part.arrays() for part in self.parts])


@dataclass(frozen=True)
class Completed(Decoded):
    """The bits of an encoder, completed by bits with which a linear decoder reconstructs the features from all bits.

    Features are scaled to unit length, centered and scaled to unit length again, to vectors z, and the decoder maps a
    code b of -1 and +1 to ``weight @ b``. The first bits are those of the other encoder. The others are found as those
    of `Decoded`, by flipping one at a time, while the first ones stay. The weights of the bits of a query serve both
    parts: ``scales[0]`` times the weights by the first encoder, and ``scales[1]`` times the inner products of z and the
    columns of the decoder.

    Parameters
    ----------
    mean : ndarray of shape (n_features,), dtype float32
        Mean of the features at unit length.
    weight : ndarray of shape (n_features, n_bits), dtype float32
        The decoder.
    target : ndarray of shape (1,), dtype float32
        Desired squared length of reconstructions, above 0.
    penalty : ndarray of shape (1,), dtype float32
        Weight of the penalty of `Decoded`, at least 0.
    first : Encoder
        The encoder of the first bits.
    scales : ndarray of shape (2,), dtype float32
        Factors of the weights by the first encoder and by the decoder.
    """

    kind: ClassVar[str] = "completed"

    first: Encoder
    scales: Floats

    @property
    def stored_kind(self) -> str:
        """Text by which a model file names the encoder: the kind of the first bits, ``+`` and its own."""
        return f"{self.first.kind}+{self.kind}"

    @property
    def ranges(self) -> list[tuple[int, int]]:
        return [(0, self.first.n_bits), (self.first.n_bits, self.n_bits)]

    def values(self, features: Floats) -> Floats:
        """Return the values of the first bits, then how much the cost would grow if one of the others were flipped."""
        first = self.first.values(features)
        fixed = np.where(first >= 0, np.float32(1), np.float32(-1))
        products = super().bit_weights(features)
        costs = flipping_costs(products, self.gram, float(self.target[0]), float(self.penalty[0]), fixed)
        return np.concatenate([first, costs], axis=1)

    def bit_weights(self, features: Floats) -> Floats:
        weights = self.scales[1] * super().bit_weights(features)
        weights[:, : self.first.n_bits] += self.scales[0] * self.first.bit_weights(features)
        return np.asarray(weights, np.float32)

    def arrays(self) -> dict[str, Floats]:
        """Return the arrays of both parts, named as those of `Joined`."""
        own = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "first"}
        return _numbered([self.first.arrays(), own])


def _numbered(arrays: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    return {f"{i}.{name}": array for i, own in enumerate(arrays) for name, array in own.items()}


def from_arrays(kinds: Sequence[type[Encoder]], arrays: Mapping[str, Floats]) -> Encoder:
    """Return the encoder whose stored kind names ``kinds``, with the arrays that its `Encoder.arrays` returned."""
    if len(kinds) == 1:
        return kinds[0](**arrays)
    numbered = [
        {name.partition(".")[2]: array for name, array in arrays.items() if name.partition(".")[0] == str(i)}
        for i in range(len(kinds))
    ]
    if kinds[-1] is Completed:
        return Completed(first=from_arrays(kinds[:-1], numbered[0]), **numbered[-1])
    return Joined(tuple(kind(**own) for kind, own in zip(kinds, numbered, strict=True)))


def flipping_costs(
    products: Floats, gram: Floats, target: float, penalty: float, fixed: Floats | None = None
) -> Floats:
    """Find codes b of -1 and +1 that minimize the cost of `Decoded`, and return the cost of flipping each bit, times b.

    ``products (n, k)`` are the inner products of items and the columns of the decoder, ``gram (k, k)`` those of the
    columns. No flip of a single bit lowers the cost of a code, up to rounding; the search ends after 20 rounds. The
    first bits may be given as ``fixed (n, f)``, of -1 and +1; the result is that of the other ``k - f`` bits.
    """
    fixed = np.empty((len(products), 0), np.float32) if fixed is None else fixed
    costs = np.empty((len(products), products.shape[1] - fixed.shape[1]), np.float32)
    for start in range(0, len(products), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        costs[rows] = _flip_bits(np.ascontiguousarray(products[rows].T), gram, target, penalty, fixed[rows].T).T
    return costs


def _flip_bits(products: Floats, gram: Floats, target: float, penalty: float, fixed: Floats) -> Floats:
    """Return the result of `flipping_costs` for some items; one row per bit, ``(k - f, n)``."""
    goal, factor = np.float32(target), np.float32(penalty / target)
    n_fixed = len(fixed)
    free = products[n_fixed:] - gram[n_fixed:, :n_fixed] @ fixed if n_fixed else products
    codes = np.concatenate([fixed, np.copysign(np.float32(1), free)])
    gram_codes = gram @ codes
    fit, length = (products * codes).sum(axis=0), (gram_codes * codes).sum(axis=0)
    costs = np.empty_like(codes)
    for _ in range(_MOST_ROUNDS):
        n_flipped = 0
        for bit in range(n_fixed, len(codes)):
            product, code, row = products[bit], codes[bit], gram[bit]
            of_fit = -2 * product * code
            of_length = 4 * (row[bit] - code * gram_codes[bit])
            costs[bit] = of_length - 2 * of_fit + factor * of_length * (of_length + 2 * (length - goal))
            flipped = np.flatnonzero(costs[bit] < -_LEAST_GAIN)
            if len(flipped):
                n_flipped += len(flipped)
                gram_codes[:, flipped] -= 2 * row[:, None] * code[flipped]
                fit[flipped] += of_fit[flipped]
                length[flipped] += of_length[flipped]
                code[flipped] *= -1
        if not n_flipped:
            break
    return np.asarray(np.maximum(costs[n_fixed:], np.finfo(np.float32).tiny) * codes[n_fixed:], np.float32)


def check_finite(features: Floats, first_row: int = 0) -> None:
    """Raise a `GannetError` that names the first row of ``features (n, n_features)`` with NaN or infinity."""
    # One sum per row needs no copy of the features, and sums of float32 values do not overflow float64.
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(features.sum(axis=1, dtype=np.float64))
    if bad.any():
        row = first_row + int(bad.argmax())
        raise GannetError(f"row {row} of the features holds NaN or infinity: drop or repair it")


def center_and_normalize(features: Floats, mean: Floats) -> Floats:
    """Return ``features (..., d) - mean (d,)`` scaled to unit Euclidean length; a zero vector stays zero."""
    return np.asarray(unit_rows(features - mean), np.float32)
