"""Packed binary codes: ``(n, ceil(n_bits / 8))`` uint8, most significant bit first, unused bits zero."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError

Codes = npt.NDArray[np.uint8]
Ids = npt.NDArray[np.int64]

_ROWS_AT_ONCE = 1 << 16


def n_bytes(n_bits: int) -> int:
    """Return the length in bytes of a packed code of ``n_bits`` bits."""
    if isinstance(n_bits, bool) or not isinstance(n_bits, int | np.integer) or n_bits < 1:
        raise GannetError(f"a code needs at least 1 bit, in whole numbers, not {n_bits!r}")
    return -(-int(n_bits) // 8)


def pack(bits: npt.ArrayLike) -> Codes:
    """Pack bits into codes.

    Parameters
    ----------
    bits : array-like of shape (n, n_bits)
        Booleans, or numbers that are 0 or 1.

    Returns
    -------
    ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes.

    Raises
    ------
    GannetError
        If ``bits`` is not two-dimensional or holds a value other than 0 and 1.

    Examples
    --------
    >>> from gannet.codes import pack
    >>> pack([[1, 0, 0, 0, 0, 0, 0, 0, 1]])
    array([[128, 128]], dtype=uint8)
    """
    array = np.asarray(bits)
    if array.ndim != 2:
        raise GannetError(f"bits must have shape (n, n_bits), not {array.shape}")
    if array.dtype != np.bool_:
        if not np.isin(array, (0, 1)).all():
            raise GannetError("bits must be 0 or 1; for values or -1/+1 codes pass `values >= 0`")
        array = array.astype(np.bool_)
    return np.packbits(array, axis=1)


def bits_between(codes: Codes, first: int, last: int) -> Codes:
    """Return the bits from ``first`` to before ``last`` of packed codes ``(n, w)``, as codes of their own."""
    if first % 8:
        blocks = (codes[at : at + _ROWS_AT_ONCE] for at in range(0, len(codes), _ROWS_AT_ONCE))
        parts = [np.packbits(np.unpackbits(block, axis=1)[:, first:last], axis=1) for block in blocks]
        return np.concatenate([np.empty((0, n_bytes(last - first)), np.uint8), *parts])
    part = np.array(codes[:, first // 8 : -(-last // 8)], order="C")
    if last % 8:
        part[:, -1] &= 0xFF << (8 - last % 8) & 0xFF
    return part


def unpack(codes: npt.ArrayLike, n_bits: int) -> npt.NDArray[np.uint8]:
    """Unpack codes into bits.

    Parameters
    ----------
    codes : array-like of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes.
    n_bits : int
        Length of the codes in bits.

    Returns
    -------
    ndarray of shape (n, n_bits), dtype uint8
        Bits, 0 or 1.

    Raises
    ------
    GannetError
        If ``codes`` has another type or shape, or if an unused bit is set.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.codes import unpack
    >>> unpack(np.array([[160]], np.uint8), 3)
    array([[1, 0, 1]], dtype=uint8)
    """
    return np.unpackbits(check_codes(codes, n_bits), axis=1, count=n_bits)


def check_codes(codes: Any, n_bits: int, name: str = "codes") -> Codes:
    """Return packed codes as a C-contiguous array, copied only if necessary.

    Raises a `GannetError`, which calls them ``name``, if they have another type or shape, or if an unused bit is set.
    """
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


def check_ids(ids: npt.ArrayLike) -> Ids:
    """Return ids as an int64 array ``(n,)``, or raise a `GannetError` if they are not integers of one dimension."""
    array = np.asarray(ids)
    if array.size == 0:
        array = array.astype(np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise GannetError(f"ids must be whole numbers of shape (n,), not {array.dtype} of shape {array.shape}")
    if array.dtype == np.uint64 and array.size and array.max() > np.iinfo(np.int64).max:
        raise GannetError(f"there is no id {array.max()}: ids must fit in 64 bits with a sign")
    return array.astype(np.int64)


def hamming(a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the Hamming distances between all pairs of codes.

    This computes the full matrix with NumPy and is meant as a reference; `gannet.HammingIndex` searches.

    Parameters
    ----------
    a : array-like of shape (n, w), dtype uint8
        Packed codes.
    b : array-like of shape (m, w), dtype uint8
        Packed codes of the same length.

    Returns
    -------
    ndarray of shape (n, m), dtype int64
        Distances in bits.

    Examples
    --------
    >>> from gannet.codes import hamming, pack
    >>> hamming(pack([[1, 0, 1]]), pack([[1, 0, 1], [0, 1, 1]]))
    array([[0, 2]])
    """
    left, right = np.asarray(a, np.uint8), np.asarray(b, np.uint8)
    distances: npt.NDArray[np.int64] = np.bitwise_count(left[:, None] ^ right[None]).sum(axis=2, dtype=np.int64)
    return distances


def as_words(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return rows of bytes ``(n, w)`` as rows of 64-bit words ``(n, ceil(w / 8))``, padded with zeros."""
    n, width = packed.shape
    if width % 8 == 0:
        return np.ascontiguousarray(packed).view(np.uint64)
    padded = np.zeros((n, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = packed
    return padded.view(np.uint64)
