"""The layout for large exact searches: codes sorted by their first 16 bits, the other bits in bit planes."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.index import _kernel as kernel
from gannet.index._planes import BLOCK, WORDS
from gannet.index.protocol import Distances
from gannet.support import threads

Positions = npt.NDArray[np.int64]

HEAD_BYTES = 2


class Slices:
    """Codes ``(n, width)`` uint8 sorted by their first 16 bits (the head), in blocks of 512, the other bits as planes.

    The layout takes the size of the codes and four bytes more per code. A search reads only part of the stored codes,
    with exact results: the leading bits that all heads of a block share give a lower bound of its distances, and the
    planes of a block are read only until every code of the block is known to be too far away.

    ``ranks`` are the positions of the codes in an order in which the heads ascend, by default a stable one.
    """

    queries_per_pass = 256
    blocks_per_task = 1024

    def __init__(self, codes: Codes, ranks: npt.NDArray[np.uint32] | None = None) -> None:
        n, self.width = codes.shape
        n_blocks = -(-n // BLOCK)
        heads = _heads(codes)
        if ranks is None:
            # A stable sort keeps equal heads in the order of their positions, so ties are resolved early.
            ranks = np.argsort(heads, kind="stable").astype(np.uint32)
        groups = max(self.width - HEAD_BYTES, 1)  # codes of 16 bits or less have one group of zeros
        planes = np.zeros((groups, n_blocks, 8, WORDS), np.uint64)
        bytes_after_head = codes[:, HEAD_BYTES:]

        def write(tasks: Iterator[int]) -> None:
            for first in tasks:
                last = min(first + self.blocks_per_task, n_blocks)
                kernel.slice_codes(bytes_after_head, ranks, planes, first, last)

        threads.share(self._tasks(n_blocks), write)
        lowest_ranks = np.minimum.reduceat(ranks, np.arange(0, n, BLOCK))
        gone = np.zeros(-(-n // 8), np.uint8)
        self.blocks = kernel.Blocks(planes, heads[ranks], ranks, gone, lowest_ranks)

    def __len__(self) -> int:
        return len(self.blocks.ranks)

    def _tasks(self, n_blocks: int) -> range:
        """Return the first block of each task."""
        return range(0, n_blocks, self.blocks_per_task)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(int(array.nbytes) for array in self.blocks)

    @property
    def gone(self) -> npt.NDArray[np.uint8]:
        """A bit per position, lowest first, which is set if the code was removed; searches leave it out."""
        gone: npt.NDArray[np.uint8] = self.blocks.gone
        return gone

    def codes(self) -> Codes:
        """Return the codes ``(n, width)`` by position."""
        blocks = self.blocks
        codes = np.empty((len(self), self.width), np.uint8)
        head = blocks.heads.astype(">u2").view(np.uint8).reshape(-1, HEAD_BYTES)
        codes[blocks.ranks, :HEAD_BYTES] = head[:, : self.width]
        kernel.unslice_codes(blocks.planes, blocks.ranks, codes[:, HEAD_BYTES:])
        return codes

    def without(self, gone: npt.NDArray[np.uint8]) -> Slices:
        """Return the same codes with other bits of ``gone``."""
        other = copy.copy(self)
        other.blocks = self.blocks._replace(gone=gone)
        return other

    def nearest(
        self, queries: Codes, k: int, bounds: npt.NDArray[np.int64] | None = None
    ) -> tuple[Distances, Positions]:
        """Return distances and positions ``(q, k)`` of the ``k`` nearest codes, by distance, then position.

        At least ``k`` codes are there. ``bounds (q,)`` are distances within which ``k`` codes are known to lie.
        """
        most = np.full(len(queries), 8 * self.width, np.int64)
        bounds = most if bounds is None else np.minimum(bounds, most)
        keys = np.empty((len(queries), k), np.uint64)
        for start in range(0, len(queries), self.queries_per_pass):
            some = slice(start, start + self.queries_per_pass)
            keys[some] = self._nearest_keys(queries[some], k, bounds[some])
        return unpack_keys(keys)

    def _nearest_keys(self, queries: Codes, k: int, bounds: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        asked, n_blocks = self._queries(queries), len(self.blocks.lowest_ranks)
        probes = min(1 + 8 * HEAD_BYTES, n_blocks // 64)
        kernel.seed_bounds(self.blocks, asked, probes, bounds, np.empty((1, k), np.uint64))

        def scan(tasks: Iterator[int]) -> npt.NDArray[np.uint64]:
            heaps = np.full((len(queries), k), kernel.NO_KEY)
            for first in tasks:
                kernel.nearest(self.blocks, asked, first, min(first + self.blocks_per_task, n_blocks), bounds, heaps)
            return heaps

        keys = np.concatenate(threads.share(self._tasks(n_blocks), scan), axis=1)
        keys.sort(axis=1)
        return keys[:, :k]

    def within(self, queries: Codes, radius: int) -> list[tuple[Distances, Positions]]:
        """Return, per query, distances and positions of all codes within ``radius``, in the order of `nearest`."""
        found: list[tuple[Distances, Positions]] = []
        for start in range(0, len(queries), self.queries_per_pass):
            found += self._within(queries[start : start + self.queries_per_pass], radius)
        return found

    def _within(self, queries: Codes, radius: int) -> list[tuple[Distances, Positions]]:
        asked, n_blocks = self._queries(queries), len(self.blocks.lowest_ranks)

        def scan(tasks: Iterator[int]) -> list[tuple[Positions, npt.NDArray[np.uint64]]]:
            found = []
            room = 1024
            for first in tasks:
                total = room + 1
                while total > room:
                    room = max(room, total)
                    query, keys = np.empty(room, np.int64), np.empty(room, np.uint64)
                    last = min(first + self.blocks_per_task, n_blocks)
                    total = kernel.within(self.blocks, asked, first, last, radius, query, keys)
                found.append((query[:total].copy(), keys[:total].copy()))
            return found

        parts = [part for scanned in threads.share(self._tasks(n_blocks), scan) for part in scanned]
        query = np.concatenate([part[0] for part in parts])
        keys = np.concatenate([part[1] for part in parts])
        order = np.lexsort((keys, query))
        ends = np.cumsum(np.bincount(query, minlength=len(queries)))[:-1]
        return [unpack_keys(some) for some in np.split(keys[order], ends)]

    def _queries(self, queries: Codes) -> kernel.Queries:
        """Return the heads of queries, and the bytes after them, one per group of planes."""
        rest = np.zeros((len(queries), len(self.blocks.planes)), np.uint8)
        rest[:, : max(self.width - HEAD_BYTES, 0)] = queries[:, HEAD_BYTES:]
        return kernel.Queries(_heads(queries), rest)


def _heads(codes: Codes) -> npt.NDArray[np.uint16]:
    """Return the first 16 bits of the codes as numbers in the same order as the codes."""
    heads = codes[:, 0].astype(np.uint16) << np.uint16(8)
    if codes.shape[1] > 1:
        heads |= codes[:, 1]
    return heads


def unpack_keys(keys: npt.NDArray[np.uint64]) -> tuple[Distances, Positions]:
    return (keys >> np.uint64(32)).astype(np.int64), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)
