"""Compiled kernels for the hash tables of `gannet.index._multi`; importing this module imports numba.

A table sorts the codes by one substring. The codes whose substring differs from that of a query in ``a`` bits are found
in the buckets of the query's substring with ``a`` bits flipped, the *shell* ``a`` of the table. If ``a_t`` shells of
each table ``t`` have been searched, all codes within ``sum(a_t) - 1`` bits have been found: a code that was not found
differs from the query in at least ``a_t`` bits of each substring. So every further shell proves one more bit, and a
search takes the cheapest shell next.

After a change of `gannet.index._kernel`, change this file too: numba's cache of compiled kernels depends on it only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from gannet.index._kernel import is_marked, popcount, replace_largest
from gannet.support.compiled import jit

_AHEAD = 16
"""Number of buckets by which prefetching is ahead of reading; it covers the latency of the memory."""
_AT_ONCE = 512
"""Number of candidates that are prefetched before they are compared with the query."""


PROBE_COST = 8.0
"""Time to look up a bucket, in ns."""
CANDIDATE_COST = 12.0
"""Time to compare one word of a code of a bucket with the query, in ns; mostly, it is the latency of the memory."""
FIRST_CANDIDATE_COST = 5.0
"""The same in the first table, whose buckets are consecutive in memory."""

_MOST_COUNTED = 0.05
"""Share of the time of a scan that may be spent on counting candidates."""

_jit = jit()


class Tables(NamedTuple):
    """The arrays of the hash tables of ``n`` codes, ``m`` tables of ``size`` bits each.

    Attributes
    ----------
    words : ndarray of shape (n, w), dtype uint64
        The codes in the order of the first table, the first bit highest.
    ranks : ndarray of shape (n,), dtype uint32
        Their positions in the order of the ids.
    gone : ndarray of shape (ceil(n / 8),), dtype uint8
        A bit per rank, lowest first, which is set if the code was removed.
    ends : ndarray of shape (m, 2^size + 1), dtype uint32
        The bounds of the buckets.
    places : ndarray of shape (m - 1, n), dtype uint32
        Rows of ``words`` by the buckets of each table but the first, whose buckets are consecutive rows.
    flips : ndarray of shape (f,), dtype int64
        Numbers of ``size`` bits, by the number of bits that are set in them.
    shell_ends : ndarray of shape (shells + 1,), dtype int64
        The bounds of the flips with 0, 1, 2 and so on bits.
    """

    words: Any
    ranks: Any
    gone: Any
    ends: Any
    places: Any
    flips: Any
    shell_ends: Any


@intrinsic
def _prefetch(context: Any, array: Any, index: Any) -> tuple[Any, Any]:
    """Start to load an item of a flat array into the cache."""

    def generate(context: Any, b: Any, signature: Any, args: Any) -> Any:
        start = context.make_array(signature.args[0])(context, b, args[0]).data
        byte, flag = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, flag, flag, flag])
        function = b.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        b.call(function, [b.bitcast(b.gep(start, [args[1]]), byte), flag(0), flag(3), flag(1)])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@_jit
def _substring(words: Any, row: int, first_bit: int, size: int) -> Any:
    """Return ``size`` bits of a row from ``first_bit`` on, as a number."""
    word, shift = first_bit >> 6, np.uint64(first_bit & 63)
    bits = words[row, word] << shift
    if (first_bit & 63) + size > 64:
        bits |= words[row, word + 1] >> (np.uint64(64) - shift)
    return np.int64(bits >> np.uint64(64 - size))


@_jit
def sort_by_substring(words: Any, first_bit: int, size: int, ends: Any, places: Any) -> None:
    """Write the bounds of the buckets to ``ends (2^size + 1,)``, zeros before, and the rows by bucket to ``places``."""
    for row in range(len(words)):
        ends[_substring(words, row, first_bit, size) + 1] += np.uint32(1)
    for bucket in range(1, len(ends)):
        ends[bucket] += ends[bucket - 1]
    following = ends[:-1].copy()
    for row in range(len(words)):
        bucket = _substring(words, row, first_bit, size)
        places[following[bucket]] = row
        following[bucket] += np.uint32(1)


@_jit
def _candidates(ends: Any, key: int, flips: Any) -> Any:
    """Return the number of codes in the buckets ``key ^ flips``, whose bounds are in the cache afterwards."""
    total = np.int64(0)
    for i in range(len(flips)):
        if i + _AHEAD < len(flips):
            _prefetch(ends, np.intp(key ^ flips[i + _AHEAD]))
        bucket = key ^ flips[i]
        total += np.int64(ends[bucket + 1]) - np.int64(ends[bucket])
    return total


@_jit
def _size(tables: Any) -> Any:
    """Return the number of bits of each table."""
    return popcount(np.uint64(tables.ends.shape[1] - 2))


@_jit
def _shell(tables: Any, shell: int) -> Any:
    """Return the numbers with ``shell`` bits set."""
    return tables.flips[tables.shell_ends[shell] : tables.shell_ends[shell + 1]]


@_jit
def _is_known(tables: Any, place: int, query: Any, table: int, shells: Any) -> bool:
    """Return whether the shells that were searched in another table hold the code."""
    size = _size(tables)
    for other in range(len(shells)):
        if other != table and shells[other]:
            away = _substring(tables.words, place, other * size, size) ^ _substring(query, 0, other * size, size)
            if popcount(away) < shells[other]:
                return True
    return False


@_jit
def _compare(tables: Any, places: Any, query: Any, table: int, shells: Any, heap: Any, found: Any, n_found: int) -> int:
    """Add the keys of the new codes within the worst distance of the heap to ``found``, or to the heap if it is empty.

    Returns the number of keys in ``found``.
    """
    bound = np.int64(heap[0] >> np.uint64(32))
    for place in places:
        distance = 0
        for word in range(tables.words.shape[1]):
            distance += popcount(tables.words[place, word] ^ query[0, word])
        if distance <= bound and not _is_known(tables, place, query, table, shells):
            rank = tables.ranks[place]
            if is_marked(tables.gone, rank):
                continue
            key = np.uint64(distance) << np.uint64(32) | np.uint64(rank)
            if len(found):
                found[n_found] = key
                n_found += 1
            elif key < heap[0]:
                replace_largest(heap, key)
                bound = np.int64(heap[0] >> np.uint64(32))
    return n_found


@_jit
def _search_shell(
    tables: Any, query: Any, table: int, flips: Any, shells: Any, buffer: Any, heap: Any, found: Any, n_found: int
) -> int:
    """Compare the codes of a table's buckets with the query; see `_compare`."""
    key = _substring(query, 0, table * _size(tables), _size(tables))
    ends, flat, width = tables.ends[table], tables.words.reshape(-1), tables.words.shape[1]
    others = tables.places[max(table - 1, 0)]
    count = 0
    for i in range(len(flips)):
        bucket = key ^ flips[i]
        if table and i + _AHEAD < len(flips):
            _prefetch(others, np.intp(ends[key ^ flips[i + _AHEAD]]))
        for at in range(np.int64(ends[bucket]), np.int64(ends[bucket + 1])):
            place = np.int64(others[at]) if table else at
            _prefetch(flat, np.intp(place * width))
            buffer[count] = place
            count += 1
            if count == len(buffer):
                n_found = _compare(tables, buffer, query, table, shells, heap, found, n_found)
                count = 0
    return _compare(tables, buffer[:count], query, table, shells, heap, found, n_found)


@_jit
def _next(tables: Any, query: Any, shells: Any, counts: Any) -> tuple[int, float]:
    """Return the table whose next shell costs least to search, and the cost.

    ``counts (m, shells)`` holds the numbers of candidates, -1 where they were not counted yet.
    """
    size, width = _size(tables), tables.words.shape[1]
    while True:
        best, least = 0, np.inf
        for table in range(len(shells)):
            shell = shells[table]
            if shell < len(tables.shell_ends) - 1:
                each = CANDIDATE_COST if table else FIRST_CANDIDATE_COST
                cost = PROBE_COST * len(_shell(tables, shell)) + each * width * max(counts[table, shell], 0)
                if cost < least:
                    best, least = table, cost
        shell = shells[best]
        if least == np.inf or counts[best, shell] >= 0:
            return best, least
        key = _substring(query, 0, best * size, size)
        counts[best, shell] = _candidates(tables.ends[best], key, _shell(tables, shell))


@_jit
def begin(tables: Any, query: Any, allowance: float, shells: Any, counts: Any, heap: Any) -> None:
    """Search shells, the cheapest first, until the heap holds the nearest codes or the allowance is used up."""
    buffer, found = np.empty(_AT_ONCE, np.int64), np.empty(0, np.uint64)
    while np.int64(heap[0] >> np.uint64(32)) >= shells.sum():
        table, cost = _next(tables, query, shells, counts)
        allowance -= cost
        if allowance < 0:
            break
        _search_shell(tables, query, table, _shell(tables, shells[table]), shells, buffer, heap, found, 0)
        shells[table] += 1


@_jit
def _n_buckets(tables: Any, shells: Any, reach: int) -> float:
    """Return the least number of buckets in shells that reach so far, or infinity if there are no such shells."""
    shells = shells.copy()
    total = 0.0
    for _ in range(shells.sum(), reach + 1):
        table = np.argmin(shells)
        if shells[table] == len(tables.shell_ends) - 1:
            return np.inf
        total += len(_shell(tables, shells[table]))
        shells[table] += 1
    return total


@_jit
def plan(tables: Any, query: Any, reach: int, limit: float, shells: Any, counts: Any, steps: Any) -> tuple[int, float]:
    """Write the tables whose shells have to be searched next to find all codes within ``reach``.

    Returns the number of these steps and their cost, which is infinite if it exceeds the limit.
    """
    shells = shells.copy()
    if PROBE_COST * _n_buckets(tables, shells, reach) > _MOST_COUNTED * limit:
        return 0, np.inf
    n_steps, total = 0, 0.0
    while shells.sum() <= reach:
        table, cost = _next(tables, query, shells, counts)
        total += cost
        if cost == np.inf or total > limit:
            return 0, np.inf
        steps[n_steps] = table
        n_steps += 1
        shells[table] += 1
    return n_steps, total


@_jit
def run(
    tables: Any, query: Any, steps: Any, part: int, n_parts: int, shells: Any, bounds: Any, heap: Any, found: Any
) -> int:
    """Search one part of the buckets of each step; return the number of keys in ``found``.

    The parts may run in several threads. They share ``bounds (1,)``, a distance within which enough codes are known;
    a lost update costs time but does not change a result.
    """
    buffer = np.empty(_AT_ONCE, np.int64)
    shells = shells.copy()
    n_found = 0
    for table in steps:
        if bounds[0] < shells.sum():
            break
        flips = _shell(tables, shells[table])
        some = flips[part * len(flips) // n_parts : (part + 1) * len(flips) // n_parts]
        n_found = _search_shell(tables, query, table, some, shells, buffer, heap, found, n_found)
        bounds[0] = min(bounds[0], np.int64(heap[0] >> np.uint64(32)))
        shells[table] += 1
    return n_found


@_jit
def nearest(tables: Any, queries: Any, allowance: float, limit: float, heaps: Any, proven: Any) -> None:
    """Fill the max-heaps of keys of several queries; ``proven`` tells which of them hold the nearest codes."""
    n_tables, n_shells = len(tables.ends), len(tables.shell_ends) - 1
    shells, counts = np.empty(n_tables, np.int64), np.empty((n_tables, n_shells), np.int64)
    steps, bounds, found = np.empty(n_tables * n_shells, np.int64), np.empty(1, np.int64), np.empty(0, np.uint64)
    for number in range(len(queries)):
        query, heap = queries[number : number + 1], heaps[number]
        shells[:] = 0
        counts[:] = -1
        begin(tables, query, allowance, shells, counts, heap)
        bounds[0] = np.int64(heap[0] >> np.uint64(32))
        n_steps, cost = plan(tables, query, bounds[0], limit, shells, counts, steps)
        if cost <= limit:
            run(tables, query, steps[:n_steps], 0, 1, shells, bounds, heap, found)
            proven[number] = True
