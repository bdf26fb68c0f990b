"""Compiled Hamming kernels for codes in bit planes; importing this module imports numba.

A block holds `BLOCK` codes as bit planes: a row of words holds one bit of every code, so that one vector instruction
processes that bit of hundreds of codes. Distances are counted by the bit-sliced adders of `gannet.index._planes`. The
counters start at ``2^m - 1 - budget``, so that the counter of a code overflows when its distance exceeds the budget;
when all codes of a block have overflowed, the remaining planes of the block are not read. For a batch of queries, the
sums of each three planes of a block are tabulated once, for all eight values that the bits of a query can have there,
and each query only adds table rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from gannet.index._planes import (
    BLOCK,
    EIGHTS,
    FOURS,
    ONES,
    OVER,
    STATE_ROWS,
    STEP,
    TRIPLE_ROWS,
    TWOS,
    WORDS,
    fill,
    scan_planes,
    scan_tables,
    tabulate,
)
from gannet.support.compiled import jit

NO_KEY = np.uint64(0xFFFFFFFFFFFFFFFF)

_AHEAD = 8 * 8
"""Number of rows, eight per block, by which prefetching is ahead of reading; it covers the latency of the memory."""
_QUERIES_FOR_TABLES = 16
"""Least number of queries for which blocks are tabulated."""

_jit = jit()


class Blocks(NamedTuple):
    """The arrays of ``n`` codes in bit planes.

    Attributes
    ----------
    planes : ndarray of shape (groups, blocks, 8, WORDS), dtype uint64
        The bits after the head, one group per byte.
    heads : ndarray of shape (n,), dtype uint16
        The first 16 bits of the codes, ascending.
    ranks : ndarray of shape (n,), dtype uint32
        The positions of the codes in the order of the ids.
    gone : ndarray of shape (ceil(n / 8),), dtype uint8
        A bit per rank, lowest first, which is set if the code was removed.
    lowest_ranks : ndarray of shape (blocks,), dtype uint32
        The lowest rank of each block.
    """

    planes: Any
    heads: Any
    ranks: Any
    gone: Any
    lowest_ranks: Any


class Queries(NamedTuple):
    """Queries as heads ``(q,)`` uint16 and further bytes ``(q, groups)`` uint8."""

    heads: Any
    bytes: Any


@_jit
def popcount(word: Any) -> Any:
    """Return the number of set bits of a 64-bit word."""
    x = np.uint64(word)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@_jit
def is_marked(marks: Any, rank: int) -> Any:
    """Return whether the bit of a rank is set; ``marks`` are bytes whose lowest bits come first."""
    return (marks[rank >> 3] >> (rank & 7)) & 1 != 0


@_jit
def _transpose(matrix: Any) -> Any:
    """Transpose an 8 x 8 bit matrix held in a word (*Hacker's Delight*, 7-3)."""
    x = np.uint64(matrix)
    t = (x ^ (x >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    x = x ^ t ^ (t << np.uint64(7))
    t = (x ^ (x >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    x = x ^ t ^ (t << np.uint64(14))
    t = (x ^ (x >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return x ^ t ^ (t << np.uint64(28))


@_jit
def slice_codes(codes: Any, order: Any, planes: Any, first_block: int, last_block: int) -> None:
    """Write bytes ``codes[order]`` (n, groups) of the given blocks as ``planes`` (groups, blocks, 8, WORDS)."""
    for block in range(first_block, last_block):
        for group in range(codes.shape[1]):
            for eighth in range(BLOCK // 8):
                start = block * BLOCK + 8 * eighth
                packed = np.uint64(0)
                for i in range(start, min(start + 8, len(order))):
                    packed |= np.uint64(codes[order[i], group]) << np.uint64(8 * (i - start))
                columns = _transpose(packed)
                for plane in range(8):
                    bits = (columns >> np.uint64(8 * plane)) & np.uint64(0xFF)
                    planes[group, block, plane, eighth // 8] |= bits << np.uint64(8 * (eighth % 8))


@_jit
def unslice_codes(planes: Any, order: Any, codes: Any) -> None:
    """Undo `slice_codes`: write the bytes of ``planes`` to ``codes[order]``."""
    for group in range(codes.shape[1]):
        for start in range(0, len(order), 8):
            block, eighth = start // BLOCK, start % BLOCK // 8
            packed = np.uint64(0)
            for plane in range(8):
                bits = planes[group, block, plane, eighth // 8] >> np.uint64(8 * (eighth % 8))
                packed |= (bits & np.uint64(0xFF)) << np.uint64(8 * plane)
            rows = _transpose(packed)
            for i in range(start, min(start + 8, len(order))):
                codes[order[i], group] = np.uint8((rows >> np.uint64(8 * (i - start))) & np.uint64(0xFF))


@_jit
def _shared_bits(low: int, high: int) -> int:
    """Return a mask of the leading bits that two heads, and all heads between them, have in common."""
    shift = 0
    while (low ^ high) >> shift:
        shift += 1
    return -(1 << shift)


@_jit
def _start(bound: int, budget: int, n_groups: int, state: Any) -> tuple[int, int]:
    """Set the counters so that distances above ``budget`` overflow; return the levels from EIGHTS on, and the bias."""
    most = 8 * n_groups
    levels = 1
    # The bound, unlike the budget, is the same for most blocks, so branches on the levels are predicted well.
    while (8 << levels) <= min(bound, most):
        levels += 1
    bias = (8 << levels) - 1 - min(budget, most)
    fill(state, ONES, bias & 1)
    fill(state, TWOS, (bias >> 1) & 1)
    fill(state, FOURS, (bias >> 2) & 1)
    for level in range(levels):
        fill(state, EIGHTS + level, (bias >> (3 + level)) & 1)
    return levels, bias


@_jit
def _collect(
    blocks: Any, block: int, queries: Any, query: int, bound: int, levels: int, bias: int, state: Any, keys: Any
) -> int:
    """Write the keys ``distance << 32 | rank`` of the codes within ``bound`` after a scan; return their number."""
    count = 0
    start = block * BLOCK
    end = min(start + BLOCK, len(blocks.ranks))
    head = queries.heads[query]
    for word in range(WORDS):
        alive = ~state[OVER * WORDS + word]
        while alive:
            shift = np.uint64(popcount((alive & (~alive + np.uint64(1))) - np.uint64(1)))
            alive &= alive - np.uint64(1)
            i = start + 64 * word + np.int64(shift)
            if i >= end:
                break
            distance = popcount(blocks.heads[i] ^ head) - bias
            for row in range(OVER):
                distance += np.int64((state[row * WORDS + word] >> shift) & np.uint64(1)) << row
            for level in range(levels):
                bit = (state[(EIGHTS + level) * WORDS + word] >> shift) & np.uint64(1)
                distance += np.int64(bit) << (3 + level)
            if distance <= bound and not is_marked(blocks.gone, blocks.ranks[i]):
                keys[count] = np.uint64(distance) << np.uint64(32) | np.uint64(blocks.ranks[i])
                count += 1
    return count


@_jit
def replace_largest(heap: Any, key: Any) -> None:
    """Replace the largest key of a max-heap by ``key``."""
    place, size = 0, len(heap)
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= key:
            break
        heap[place] = heap[child]
        place = child
    heap[place] = key


@_jit
def _masks(query_bytes: Any) -> Any:
    """Return a word of all zeros or all ones for each bit of each query, as a flat array."""
    masks = np.empty(query_bytes.size * 8, np.uint64)
    for i, byte in enumerate(query_bytes.flat):
        for bit in range(8):
            masks[8 * i + bit] = NO_KEY if (byte >> bit) & 1 else np.uint64(0)
    return masks


@_jit
def _steps(planes: Any) -> Any:
    """Return the number of steps in which tables add up the planes; the last step is padded with zeros."""
    return -(-8 * planes.shape[0] // (3 * STEP))


@_jit
def _table_keys(query_bytes: Any, n_steps: int) -> Any:
    """Return the first words of the two table rows for each query and triple of bits, as a flat array."""
    n_bits = 8 * query_bytes.shape[1]
    keys = np.empty((len(query_bytes), n_steps * STEP, 2), np.uint32)
    for query in range(len(query_bytes)):
        for triple in range(n_steps * STEP):
            value = 0
            for i in range(3):
                bit = 3 * triple + i
                if bit < n_bits:
                    value |= ((query_bytes[query, bit // 8] >> (bit % 8)) & 1) << i
            row = triple * TRIPLE_ROWS
            keys[query, triple, 0] = (row + (popcount(value) & 1)) * WORDS
            keys[query, triple, 1] = (row + 2 + value) * WORDS
    return keys.reshape(-1)


@_jit
def _tabulate_block(planes: Any, block: int, whole: Any, tables: Any) -> None:
    """Write the tables of a block; ``whole`` is a buffer for its planes, padded with zeros to whole steps."""
    for group in range(planes.shape[0]):
        for plane in range(8):
            for word in range(WORDS):
                whole[(8 * group + plane) * WORDS + word] = planes[group, block, plane, word]
    for triple in range(len(whole) // (3 * WORDS)):
        tabulate(whole, 3 * triple, tables, TRIPLE_ROWS * triple)


@_jit
def nearest(blocks: Any, queries: Any, first_block: int, last_block: int, bounds: Any, heaps: Any) -> None:
    """Update each query's max-heap of keys ``heaps (q, k)`` with the codes of a range of blocks.

    ``bounds (q,)`` are distances within which at least k codes are known to lie. Threads share them without a lock: any
    value written is such a distance, so a lost update costs time but does not change a result.
    """
    state, keys = np.empty(WORDS * STATE_ROWS, np.uint64), np.empty(BLOCK, np.uint64)
    planes, query_bytes = blocks.planes, queries.bytes
    flat, n_groups, n_blocks = planes.reshape(-1), planes.shape[0], planes.shape[1]
    tabled = len(query_bytes) >= _QUERIES_FOR_TABLES
    n_steps = _steps(planes) if tabled else 0
    masks, table_keys = _masks(query_bytes[: 0 if tabled else len(query_bytes)]), _table_keys(query_bytes, n_steps)
    whole = np.zeros(n_steps * STEP * 3 * WORDS, np.uint64)
    tables = np.empty(n_steps * STEP * TRIPLE_ROWS * WORDS, np.uint64)
    for block in range(first_block, last_block):
        low = blocks.heads[block * BLOCK]
        shared = _shared_bits(low, blocks.heads[min(block * BLOCK + BLOCK, len(blocks.heads)) - 1])
        if tabled:
            _tabulate_block(planes, block, whole, tables)
        for query in range(len(heaps)):
            bound = bounds[query]
            largest = heaps[query, 0]
            worst = np.int64(largest >> np.uint64(32))
            if worst <= bound:
                # The heap is full: a code at the worst distance enters only if its id is smaller.
                bound = worst - (np.int64(largest & np.uint64(0xFFFFFFFF)) < blocks.lowest_ranks[block])
            budget = bound - popcount((low ^ queries.heads[query]) & shared)
            if budget < 0:
                continue
            levels, bias = _start(bound, budget, n_groups, state)
            if tabled:
                alive = scan_tables(tables, n_steps, table_keys, query * n_steps * 2 * STEP, levels, state)
            else:
                alive = scan_planes(
                    flat, 8 * block, 8 * n_blocks, n_groups, masks, 8 * query * n_groups, levels,
                    _AHEAD if query == 0 else 0, state,
                )  # fmt: skip
            if not alive:
                continue
            count = _collect(blocks, block, queries, query, bound, levels, bias, state, keys)
            if count:
                heap = heaps[query]
                for key in keys[:count]:
                    if key < heap[0]:
                        replace_largest(heap, key)
                bounds[query] = min(bounds[query], np.int64(heap[0] >> np.uint64(32)))


@_jit
def seed_bounds(blocks: Any, queries: Any, probes: int, bounds: Any, heap: Any) -> None:
    """Lower ``bounds`` by searching the blocks with the query's head, and with heads that differ from it in one bit.

    ``heap (1, k)`` is working space. Codes near a query often have near heads, so a few blocks give a bound within one
    or two bits of the final one.
    """
    visited = np.empty(probes, np.int64)
    for query in range(len(bounds)):
        heap[:] = NO_KEY
        one = slice(query, query + 1)
        alone = Queries(queries.heads[one], queries.bytes[one])
        for probe in range(probes):
            flip = 0 if probe == 0 else 1 << (probe - 1)
            place = np.searchsorted(blocks.heads, np.uint16(queries.heads[query] ^ flip))
            block = min(int(place), len(blocks.heads) - 1) // BLOCK
            visited[probe] = block
            if block not in visited[:probe]:
                nearest(blocks, alone, block, block + 1, bounds[one], heap)


@_jit
def within(blocks: Any, queries: Any, first_block: int, last_block: int, bound: int, numbers: Any, keys: Any) -> int:
    """Write the query's number and the key of the codes within ``bound``, as many as fit; return how many there are."""
    state, found = np.empty(WORDS * STATE_ROWS, np.uint64), np.empty(BLOCK, np.uint64)
    planes, query_bytes = blocks.planes, queries.bytes
    flat, n_groups, n_blocks = planes.reshape(-1), planes.shape[0], planes.shape[1]
    tabled = len(query_bytes) >= _QUERIES_FOR_TABLES
    n_steps = _steps(planes) if tabled else 0
    masks, table_keys = _masks(query_bytes[: 0 if tabled else len(query_bytes)]), _table_keys(query_bytes, n_steps)
    whole = np.zeros(n_steps * STEP * 3 * WORDS, np.uint64)
    tables = np.empty(n_steps * STEP * TRIPLE_ROWS * WORDS, np.uint64)
    total = 0
    for block in range(first_block, last_block):
        low = blocks.heads[block * BLOCK]
        shared = _shared_bits(low, blocks.heads[min(block * BLOCK + BLOCK, len(blocks.heads)) - 1])
        if tabled:
            _tabulate_block(planes, block, whole, tables)
        for query in range(len(query_bytes)):
            budget = bound - popcount((low ^ queries.heads[query]) & shared)
            if budget < 0:
                continue
            levels, bias = _start(bound, budget, n_groups, state)
            if tabled:
                alive = scan_tables(tables, n_steps, table_keys, query * n_steps * 2 * STEP, levels, state)
            else:
                alive = scan_planes(
                    flat, 8 * block, 8 * n_blocks, n_groups, masks, 8 * query * n_groups, levels,
                    _AHEAD if query == 0 else 0, state,
                )  # fmt: skip
            if not alive:
                continue
            count = _collect(blocks, block, queries, query, bound, levels, bias, state, found)
            for i in range(count):
                if total < len(keys):
                    numbers[total] = query
                    keys[total] = found[i]
                total += 1
    return total
