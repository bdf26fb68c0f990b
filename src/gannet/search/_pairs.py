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
    """Tell whether the cosine of two rows of a `FixedPoint` is at least ``cosine``, above 0."""
    least = cosine * lengths[a, 0] * lengths[b, 0] - 0.5  # the product is a whole number, the lengths are rounded
    product = 0
    for part in range(values.shape[1]):
        # What is left of the rows adds at most the product of its lengths (Cauchy-Schwarz).
        if product + lengths[a, part] * lengths[b, part] < least:
            return False
        # In 32 bits, which unit rows cannot overflow: the compiler has one instruction for several.
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
    """Join codes at most ``radius`` bits apart, of those that share a bucket.

    ``order (n,)`` are codes sorted by bucket; ``words (w, n)`` uint64 theirs, in that order; ``ends (n,)`` where the
    bucket of each place of ``order`` ends. With ``cosine`` above 0 only those are joined whose features, ``values`` and
    ``lengths`` of a `FixedPoint` by code, have that cosine at least. Takes the pairs whose first
    member is at the places from ``first`` to ``last``.
    """
    distances = np.empty(_AT_ONCE, np.int64)
    # Tile by tile, so that features are compared while they are in the processor's cache.
    for tile in range(first, last, _AT_ONCE):
        tile_end = min(tile + _AT_ONCE, last)
        for block in range(tile + 1, ends[tile_end - 1], _AT_ONCE):
            for place in range(tile, tile_end):
                start = max(block, place + 1)
                n = min(block + _AT_ONCE, ends[place]) - start
                if n <= 0:
                    continue
                # Loops without a branch, which the compiler turns into vector instructions.
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
    """Join what is joined in ``others`` in ``parents`` too."""
    for i in range(len(others)):
        union(parents, i, others[i])


@_jit
def roots(parents: Any) -> None:
    """Make every member point to its root."""
    for i in range(len(parents)):
        parents[i] = find(parents, i)
