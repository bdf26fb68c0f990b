"""The layout for large searches of clumped codes: hash tables of substrings, and bit planes for the other searches."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.index import _multi_kernel as kernel
from gannet.index._kernel import NO_KEY
from gannet.index._slices import HEAD_BYTES, Positions, Slices, unpack_keys
from gannet.index.protocol import Distances
from gannet.support import threads

LEAST_BITS = 2 * 8 * HEAD_BYTES
"""Shortest codes for which tables are made: two tables of at least as many bits as the head of the bit planes."""
_BITS_PER_TABLE = 21
_MOST_TABLES = 6
_MOST_BUCKETS = 1 << 15
"""Number of buckets of a table that a search looks up at most."""

_BATCH = 16
"""Number of queries from which scans are much faster per query."""
_ALLOWANCE = 0.15
"""Share of the time of a scan after which a search plans ahead, or gives up and scans."""
_MOST_PER_TASK = 8
"""Number of queries that a thread takes at once, at most."""

_LEAST_CODES = 1_000_000
"""Number of codes from which tables are made by themselves: a scan of fewer takes hardly longer than a call."""
_WORTH = 0.5
"""Share of the time of a scan that the searches of a sample may take on average."""
_SAMPLE_QUERIES = 64
_SAMPLE_CODES = 1 << 16
_SAMPLE_NEIGHBORS = 10

Words = npt.NDArray[np.uint64]
Keys = npt.NDArray[np.uint64]


class Multi:
    """Codes ``(n, width)`` uint8 in hash tables, searched by exact multi-index hashing [1]_.

    A table is a substring of the codes; a search looks up the buckets near the substrings of the query, until no other
    code can be as near as those found. As in [2]_, the number of bits by which a substring may differ is chosen per
    table, by the cost that the sizes of the buckets tell. A search that would cost more than a scan is one: the codes
    are kept as bit planes too.

    References
    ----------
    .. [1] Norouzi, Punjani, Fleet, "Fast Search in Hamming Space with Multi-Index Hashing", CVPR 2012.
    .. [2] Qin et al., "GPH: Similarity Search in Hamming Space", ICDE 2018.
    """

    scan_cost = 0.04
    """Time in which one thread scans a byte of the codes for a single query, in ns."""
    batch_scan_cost = 0.007
    """The same per query of a batch."""
    cost_per_thread = 300_000.0
    """Time, in ns, for which each of several threads must have buckets of a single query to search."""

    def __init__(self, codes: Codes, slices: Slices, first_ends: npt.NDArray[np.uint32]) -> None:
        n, width = codes.shape
        n_tables, size = table_sizes(n, 8 * width)
        ranks = slices.blocks.ranks
        words = _words(codes)[ranks]
        ends = np.zeros((n_tables, (1 << size) + 1), np.uint32)
        ends[0] = first_ends
        places = np.empty((n_tables - 1, n), np.uint32)

        def fill(tables: Iterator[int]) -> None:
            for table in tables:
                kernel.sort_by_substring(words, table * size, size, ends[table], places[table - 1])

        threads.share(range(1, n_tables), fill)
        self.slices = slices
        self.tables = kernel.Tables(words, ranks, slices.gone, ends, places, *_flips(size))

    def __len__(self) -> int:
        return len(self.slices)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        arrays = (self.tables.words, self.tables.ends, self.tables.places)
        return self.slices.nbytes + sum(int(array.nbytes) for array in arrays)

    def codes(self) -> Codes:
        """Return the codes ``(n, width)`` by position."""
        return self.slices.codes()

    @property
    def gone(self) -> npt.NDArray[np.uint8]:
        """A bit per position, lowest first, which is set if the code was removed."""
        return self.slices.gone

    def without(self, gone: npt.NDArray[np.uint8]) -> Multi:
        """Return the same codes with other bits of `gone`."""
        other = copy.copy(self)
        other.slices = self.slices.without(gone)
        other.tables = self.tables._replace(gone=gone)
        return other

    def nearest(self, queries: Codes, k: int) -> tuple[Distances, Positions]:
        """Return distances and positions ``(q, k)`` of the ``k`` nearest codes, by distance, then position."""
        words, limit = _words(queries), self._limit(len(queries))
        keys = np.full((len(queries), k), NO_KEY)
        proven = np.zeros(len(queries), np.bool_)

        size = max(1, min(_MOST_PER_TASK, len(queries) // threads.cores()))

        def search(tasks: Iterator[int]) -> None:
            for start in tasks:
                some = slice(start, start + size)
                kernel.nearest(self.tables, words[some], _ALLOWANCE * limit, limit, keys[some], proven[some])

        if len(queries) == 1:
            proven[0] = self._nearest_of_one(words, limit, keys[0])
        else:
            threads.share(range(0, len(queries), size), search)
        keys.sort(axis=1)
        distances, positions = unpack_keys(keys)
        others = np.flatnonzero(~proven)
        if len(others):
            found = self.slices.nearest(queries[others], k, distances[others, -1])
            distances[others], positions[others] = found
        return distances, positions

    def _nearest_of_one(self, query: Words, limit: float, heap: Keys) -> bool:
        """Fill the heap of a query, in several threads if that pays; return whether it holds the nearest codes."""
        search = _Search(self.tables)
        kernel.begin(self.tables, query, _ALLOWANCE * limit, search.shells, search.counts, heap)
        reach = int(heap[0] >> np.uint64(32))
        if not search.plan(query, reach, limit):
            return False
        bounds, no_keys = np.array([reach]), np.empty(0, np.uint64)
        n_parts = self._n_parts(search.cost, threads.cores())

        def run(parts: Iterator[int]) -> Keys:
            own = heap.copy()
            for part in parts:
                search.run(query, part, n_parts, bounds, own, no_keys)
            return own

        heap[:] = np.unique(np.concatenate(threads.share(range(n_parts), run)))[: len(heap)]
        return True

    def within(self, queries: Codes, radius: int) -> list[tuple[Distances, Positions]]:
        """Return, per query, distances and positions of all codes within ``radius``, in the order of `nearest`."""
        words, limit = _words(queries), self._limit(len(queries))
        keys: list[Keys | None] = [None] * len(queries)

        def search(tasks: Iterator[int]) -> None:
            for i in tasks:
                keys[i] = self._within_of_one(words[i : i + 1], limit, radius, 1)

        if len(queries) == 1:
            keys[0] = self._within_of_one(words, limit, radius, threads.cores())
        else:
            threads.share(range(len(queries)), search)
        others = iter(self.slices.within(queries[[some is None for some in keys]], radius))
        return [next(others) if some is None else unpack_keys(some) for some in keys]

    def _within_of_one(self, query: Words, limit: float, radius: int, most_threads: int) -> Keys | None:
        """Return the sorted keys of all codes within ``radius``, or None if a scan costs less."""
        search = _Search(self.tables)
        if not search.plan(query, radius, limit):
            return None
        bounds, heap = np.array([radius]), np.array([radius], np.uint64) << np.uint64(32)
        n_parts = self._n_parts(search.cost, most_threads)

        def run(parts: Iterator[int]) -> Keys:
            found = np.empty(search.n_candidates() + 1, np.uint64)
            n_found = 0
            for part in parts:
                n_found += search.run(query, part, n_parts, bounds, heap, found[n_found:])
            return found[:n_found]

        return np.sort(np.concatenate(threads.share(range(n_parts), run)))

    def _limit(self, n_queries: int) -> float:
        """Return the time of a scan for one of several queries, in ns."""
        scan: float = len(self) * self.slices.width * (self.batch_scan_cost if n_queries >= _BATCH else self.scan_cost)
        return scan / threads.cores() if n_queries == 1 else scan

    def _n_parts(self, cost: float, most: int) -> int:
        """Return the number of threads, at most ``most``, that pay for steps of some cost."""
        return most if cost >= most * self.cost_per_thread else 1


class _Search:
    """The search of a query: the number of shells searched per table, counts of candidates, and the next steps."""

    def __init__(self, tables: kernel.Tables) -> None:
        n_tables, n_shells = len(tables.ends), len(tables.shell_ends) - 1
        self.tables = tables
        self.shells = np.zeros(n_tables, np.int64)
        self.counts = np.full((n_tables, n_shells), -1)
        self.steps = np.empty(n_tables * n_shells, np.int64)
        self.cost = 0.0

    def plan(self, query: Words, reach: int, limit: float) -> bool:
        """Plan to find all codes within ``reach``; return whether that costs at most ``limit``."""
        n_steps, cost = kernel.plan(self.tables, query, reach, limit, self.shells, self.counts, self.steps)
        self.steps = self.steps[:n_steps]
        self.cost = cost
        return bool(cost <= limit)

    def n_candidates(self) -> int:
        """Return the number of codes in the buckets of the planned steps."""
        steps = np.bincount(self.steps, minlength=len(self.shells))
        ends = self.shells + steps
        return sum(
            int(count[first:last].sum()) for count, first, last in zip(self.counts, self.shells, ends, strict=True)
        )

    def run(self, query: Words, part: int, n_parts: int, bounds: npt.NDArray[np.int64], heap: Keys, found: Keys) -> int:
        """Search a part of the buckets of the planned steps; see `gannet.index._multi_kernel.run`."""
        return int(kernel.run(self.tables, query, self.steps, part, n_parts, self.shells, bounds, heap, found))


def arrange(codes: Codes, always: bool) -> Slices | Multi:
    """Return the codes in hash tables if that is much faster, or ``always``, and else for scans."""
    n, width = codes.shape
    if 8 * width < LEAST_BITS or (n < _LEAST_CODES and not always):
        return Slices(codes)
    _, size = table_sizes(n, 8 * width)
    ends, ranks = np.zeros((1 << size) + 1, np.uint32), np.empty(n, np.uint32)
    kernel.sort_by_substring(_words(codes), 0, size, ends, ranks)
    slices = Slices(codes, ranks)
    return Multi(codes, slices, ends) if always or _pays(slices, codes) else slices


def _pays(slices: Slices, codes: Codes) -> bool:
    """Return whether tables of the codes would be much faster than a scan, estimated from a sample.

    The sample gives the distances to the nearest neighbors, and the share of the codes in each shell of each table.
    """
    n, width = codes.shape
    random = np.random.default_rng(0)
    queries = codes[random.integers(0, n, _SAMPLE_QUERIES)]
    others = _words(codes[random.integers(0, n, _SAMPLE_CODES)])
    # The nearest code of each query is the query itself.
    reaches = slices.nearest(queries, _SAMPLE_NEIGHBORS + 1)[0][:, -1]
    n_tables, size = table_sizes(n, 8 * width)
    _, shell_ends = _flips(size)
    buckets = np.diff(shell_ends)
    limit = Multi.scan_cost * n * width / threads.cores()
    costs = []
    for query, reach in zip(_words(queries), reaches, strict=True):
        shells = []
        for table in range(n_tables):
            away = np.bitwise_count(_substrings(others ^ query, table * size, size))
            candidates = np.bincount(away, minlength=size + 1)[: len(buckets)] * (n / _SAMPLE_CODES)
            each = kernel.CANDIDATE_COST if table else kernel.FIRST_CANDIDATE_COST
            shells.append(kernel.PROBE_COST * buckets + each * others.shape[1] * candidates)
        steps = np.sort(np.concatenate(shells))
        costs.append(steps[: reach + 1].sum() if reach < len(steps) else np.inf)
    return bool(np.minimum(costs, 1.2 * limit).mean() < _WORTH * limit)


def table_sizes(n: int, n_bits: int) -> tuple[int, int]:
    """Return the number of tables of ``n`` codes, and the bits of each: buckets take little more memory than codes."""
    n_tables = min(max(n_bits // _BITS_PER_TABLE, 2), _MOST_TABLES)
    return n_tables, min(max(n.bit_length() - 3, 8 * HEAD_BYTES), n_bits // n_tables)


def _substrings(words: Words, first_bit: int, size: int) -> npt.NDArray[np.uint64]:
    """Return ``size`` bits of each row from ``first_bit`` on, as numbers."""
    word, shift = divmod(first_bit, 64)
    bits = words[:, word] << np.uint64(shift)
    if shift + size > 64:
        bits |= words[:, word + 1] >> np.uint64(64 - shift)
    return bits >> np.uint64(64 - size)


def _words(codes: Codes) -> npt.NDArray[np.uint64]:
    """Return codes as words ``(n, ceil(width / 8))``, the first bit highest, padded with zeros."""
    n, width = codes.shape
    padded = np.zeros((n, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = codes
    words: npt.NDArray[np.uint64] = padded.view(">u8").astype(np.uint64)
    return words


def _flips(size: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return numbers of ``size`` bits by how many are set, and the bounds of those with 0, 1, 2 and so on."""
    numbers = np.arange(1 << size, dtype=np.uint32)
    weights = np.bitwise_count(numbers)
    ends = np.concatenate([[0], np.cumsum(np.bincount(weights))])
    ends = ends[ends <= _MOST_BUCKETS]
    return np.argsort(weights, kind="stable")[: ends[-1]], ends
