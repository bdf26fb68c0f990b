"""Packed binary codes: ``(n, ceil(n_bits / 8))`` uint8, most significant bit first, trailing bits zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError

Codes = npt.NDArray[np.uint8]


def n_bytes(n_bits: int) -> int:
    """Return how many bytes a code of ``n_bits`` takes."""
    if isinstance(n_bits, bool) or not isinstance(n_bits, int | np.integer) or n_bits < 1:
        raise GannetError(f"a code needs at least 1 bit, in whole numbers, not {n_bits!r}")
    return -(-int(n_bits) // 8)


def pack(bits: npt.ArrayLike) -> Codes:
    """Pack bits into codes.

    Parameters: ``bits`` of shape ``(n, n_bits)``, boolean or 0/1.
    Returns: codes ``(n, ceil(n_bits / 8))`` uint8.
    Raises: `GannetError` if the array is not two-dimensional or holds anything but 0 and 1.
    """
    array = np.asarray(bits)
    if array.ndim != 2:
        raise GannetError(f"bits must have shape (n, n_bits), not {array.shape}")
    if array.dtype != np.bool_:
        if not np.isin(array, (0, 1)).all():
            raise GannetError("bits must be 0 or 1; for values or -1/+1 codes pass `values >= 0`")
        array = array.astype(np.bool_)
    return np.packbits(array, axis=1)


def unpack(codes: npt.ArrayLike, n_bits: int) -> npt.NDArray[np.uint8]:
    """Unpack codes ``(n, ceil(n_bits / 8))`` into 0/1 bits ``(n, n_bits)`` uint8."""
    return np.unpackbits(check_codes(codes, n_bits), axis=1, count=n_bits)


def check_codes(codes: Any, n_bits: int, name: str = "codes") -> Codes:
    """Return ``codes`` as a C-contiguous uint8 array, or raise a `GannetError` that says what is wrong."""
    array = np.asarray(codes)
    width = n_bytes(n_bits)
    if array.dtype != np.uint8:
        raise GannetError(f"{name} must be packed uint8, not {array.dtype}; see gannet.codes.pack")
    if array.ndim != 2 or array.shape[1] != width:
        raise GannetError(f"{name} of {n_bits} bits must have shape (n, {width}), not {array.shape}")
    spare = 8 * width - n_bits
    if spare and (array[:, -1] & ((1 << spare) - 1)).any():
        raise GannetError(f"{name} have bits set after bit {n_bits}: they are of another length")
    return np.ascontiguousarray(array)


def hamming(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return all Hamming distances ``(n, m)`` between codes ``a (n, w)`` and ``b (m, w)``, in bits.

    Plain NumPy over the full matrix: the reference for, not a substitute of, `gannet.search`.
    """
    left, right = np.asarray(a, np.uint8), np.asarray(b, np.uint8)
    distances: npt.NDArray[np.int64] = np.bitwise_count(left[:, None] ^ right[None]).sum(axis=2, dtype=np.int64)
    return distances


def as_words(codes: Codes) -> npt.NDArray[np.uint64]:
    """Return codes ``(n, w)`` as ``(n, ceil(w / 8))`` words, filled up with zeros."""
    n, width = codes.shape
    if width % 8 == 0:
        return np.ascontiguousarray(codes).view(np.uint64)
    filled = np.zeros((n, -(-width // 8) * 8), np.uint8)
    filled[:, :width] = codes
    return filled.view(np.uint64)
