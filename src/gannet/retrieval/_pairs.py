"""Compiled search for near pairs of codes; importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from gannet.index._kernel import popcount
from gannet.support.compiled import jit

_AT_ONCE = 64

_jit = jit()


@_jit
def find(parents: Any, i: int) -> int:
    """Return the root of ``i``, halving the path to it (Tarjan & van Leeuwen 1984)."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@_jit
def union(parents: Any, i: int, j: int) -> None:
    """Join the sets of ``i`` and ``j``; the root is the smallest member."""
    a, b = find(parents, i), find(parents, j)
    if a < b:
        parents[b] = a
    else:
        parents[a] = b


@_jit
def _are_alike(values: Any, lengths: Any, a: int, b: int, cosine: float) -> Any:
    """Return whether the cosine of two rows of a `FixedPoint` is at least ``cosine``, which is above 0."""
    least = cosine * lengths[a, 0] * lengths[b, 0] - 0.5  # the product is an integer, the lengths are rounded
    product = 0
    for part in range(values.shape[1]):
        # The remaining parts add at most the product of their lengths (Cauchy-Schwarz).
        if product + lengths[a, part] * lengths[b, part] < least:
            return False
        # 32 bits are enough for unit rows, and the compiler can vectorize the sum.
        total: Any = np.int32(0)
        for i in range(values.shape[2]):
            total = np.int32(total + np.int32(np.int32(values[a, part, i]) * np.int32(values[b, part, i])))
        product += total
    return product > 0 and product >= least


@_jit
def join_near(
    words: Any,
    order: Any,
    ends: Any,
    radius: int,
    values: Any,
    lengths: Any,
    cosine: float,
    first: int,
    last: int,
    parents: Any,
) -> None:
    """Join the codes of the same bucket that differ in at most ``radius`` bits.

    ``order (n,)`` are codes sorted by bucket, ``words (w, n)`` uint64 the codes in that order, and ``ends (n,)`` the
    end of the bucket of each place in ``order``. If ``cosine`` is above 0, only codes whose features have at least that
    cosine are joined; ``values`` and ``lengths`` are those of a `FixedPoint`, by code. Only pairs whose first member is
    at the places ``[first, last)`` are compared.
    """
    distances = np.empty(_AT_ONCE, np.int64)
    # Pairs are compared in tiles, so that their features stay in the processor's cache.
    for tile in range(first, last, _AT_ONCE):
        tile_end = min(tile + _AT_ONCE, last)
        for block in range(tile + 1, ends[tile_end - 1], _AT_ONCE):
            for place in range(tile, tile_end):
                start = max(block, place + 1)
                n = min(block + _AT_ONCE, ends[place]) - start
                if n <= 0:
                    continue
                # Loops without branches, which the compiler vectorizes.
                distances[:n] = 0
                for column in range(len(words)):
                    word = words[column, place]
                    for other in range(n):
                        distances[other] += popcount(word ^ words[column, start + other])
                near = 0
                for other in range(n):
                    near += distances[other] <= radius
                if not near:
                    continue
                for other in range(n):
                    if distances[other] <= radius:
                        a, b = order[place], order[start + other]
                        if cosine == 0.0 or (
                            find(parents, a) != find(parents, b) and _are_alike(values, lengths, a, b, cosine)
                        ):
                            union(parents, a, b)


@_jit
def join_all(parents: Any, others: Any) -> None:
    """Join in ``parents`` the members that are joined in ``others``."""
    for i in range(len(others)):
        union(parents, i, others[i])


@_jit
def roots(parents: Any) -> None:
    """Make every member point to its root."""
    for i in range(len(parents)):
        parents[i] = find(parents, i)
