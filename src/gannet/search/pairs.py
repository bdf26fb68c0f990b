"""Compiled search for near pairs of codes; importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from gannet.compiled import jit

_AT_ONCE = 64

_jit = jit()


@_jit
def _popcount(word: Any) -> Any:
    """Return the number of set bits of a 64-bit word."""
    x = np.uint64(word)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


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
def join_near(words: Any, order: Any, ends: Any, radius: int, first: int, last: int, parents: Any) -> None:
    """Join codes at most ``radius`` bits apart, of those that share a bucket.

    ``order (n,)`` are codes sorted by bucket; ``words (w, n)`` uint64 theirs, in that order; ``ends (n,)`` where the
    bucket of each place of ``order`` ends. Takes the pairs whose first member is at the places from ``first`` to
    ``last``.
    """
    distances = np.empty(_AT_ONCE, np.int64)
    for place in range(first, last):
        for start in range(place + 1, ends[place], _AT_ONCE):
            n = min(_AT_ONCE, ends[place] - start)
            # Loops without a branch, which the compiler turns into vector instructions.
            distances[:n] = 0
            for column in range(len(words)):
                word = words[column, place]
                for other in range(n):
                    distances[other] += _popcount(word ^ words[column, start + other])
            near = 0
            for other in range(n):
                near += distances[other] <= radius
            if near:
                for other in range(n):
                    if distances[other] <= radius:
                        union(parents, order[place], order[start + other])


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
