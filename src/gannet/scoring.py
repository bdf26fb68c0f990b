"""Asymmetric scores: the real values of a query, as one weight per bit, against stored codes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, check_codes, unpack
from gannet.encoders import Floats
from gannet.errors import GannetError

DEFAULT_CANDIDATES = 1000
"""Number of nearest items by Hamming distance that a search reorders by score unless it is told otherwise."""


_BYTE_SIGNS = 2 * unpack(np.arange(256, dtype=np.uint8)[:, None], 8).astype(np.float32) - 1
"""The eight bits of every byte as -1 or +1, most significant first: ``(256, 8)``."""


def signs(codes: Codes, n_bits: int) -> Floats:
    """Return the bits of packed codes ``(m, w)`` as -1 or +1, float32 ``(m, n_bits)``."""
    return np.asarray(_BYTE_SIGNS[codes].reshape(len(codes), -1)[:, :n_bits])


def asymmetric_scores(weights: npt.ArrayLike, codes: npt.ArrayLike) -> Floats:
    """Return the score of each code for one query.

    The score is the sum of the weights of the bits that are 1 minus the sum of the weights of the bits that are 0,
    divided by the sum of the absolute weights. It lies between -1 and 1: it is 1 for a code whose bits all have the
    signs of the weights, and -1 for the opposite code. With equal absolute weights it is a linear function of the
    Hamming distance. Equal codes have exactly equal scores.

    Parameters
    ----------
    weights : array-like of shape (n_bits,)
        Weights of the bits, as `gannet.Model.bit_weights` returns them for each query.
    codes : ndarray of shape (m, ceil(n_bits / 8)), dtype uint8
        Packed codes.

    Returns
    -------
    ndarray of shape (m,), dtype float32
        Scores; 0 if all weights are 0.

    Raises
    ------
    GannetError
        If the weights are not one finite number per bit, or if the codes are of another length.

    Examples
    --------
    >>> from gannet.codes import pack
    >>> from gannet.scoring import asymmetric_scores
    >>> asymmetric_scores([0.5, -0.25, 0.25], pack([[1, 0, 1], [1, 1, 1], [0, 1, 0]]))
    array([ 1. ,  0.5, -1. ], dtype=float32)
    """
    given = np.asarray(weights, np.float32)
    if given.ndim != 1 or not len(given) or not np.isfinite(given).all():
        raise GannetError(f"weights must be finite numbers of shape (n_bits,), not of shape {given.shape}")
    packed = check_codes(codes, len(given))
    n_bytes = packed.shape[1]
    padded = np.zeros(8 * n_bytes, np.float32)
    total = float(np.abs(given).sum(dtype=np.float64))
    # Dividing by a power of two is exact, so that equal weights keep the ties of the Hamming distance.
    scale = 2.0 ** np.ceil(np.log2(total)) if total else 1.0
    padded[: len(given)] = given / scale
    # What each value of each byte adds to the score: one look-up per byte of a code.
    tables = padded.reshape(n_bytes, 8) @ _BYTE_SIGNS.T
    scores = np.zeros(len(packed), np.float32)
    for table, column in zip(tables, packed.T, strict=True):
        scores += table.take(column)
    scores *= np.float32(scale / (total or 1.0))
    return scores


def best_first(scores: Floats) -> npt.NDArray[np.int64]:
    """Return the order of ``scores (m,)`` from the highest to the lowest; equal scores keep their order."""
    return np.argsort(-scores, kind="stable")
