"""The compiled inner loop of `gannet.evaluation.histograms`. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from gannet.support.compiled import jit

_ONES = np.uint64(0x5555555555555555)
_PAIRS = np.uint64(0x3333333333333333)
_NIBBLES = np.uint64(0x0F0F0F0F0F0F0F0F)
_BYTES = np.uint64(0x0101010101010101)

_BLOCK = 2048
# That many queries are compared with a block of items while the block is in the first-level cache.
CHUNK = 32


@jit()
def _mark_equal(bins: Any, labels: Any, label: Any, mark: Any) -> None:
    for i in range(bins.size):
        bins[i] = np.uint32(mark) if labels[i] == label else np.uint32(0)


@jit()
def _mark_shared(bins: Any, labels: Any, label: Any, mark: Any) -> None:
    for i in range(bins.size):
        if labels[i] & label:
            bins[i] = np.uint32(mark)


@jit()
def _add_distances(bins: Any, words: Any, word: Any) -> None:
    # LLVM recognizes these shifts and masks as a population count and vectorizes it, which it does not do for a table.
    for i in range(bins.size):
        x = words[i] ^ word
        x = x - ((x >> np.uint64(1)) & _ONES)
        x = (x & _PAIRS) + ((x >> np.uint64(2)) & _PAIRS)
        x = (x + (x >> np.uint64(4))) & _NIBBLES
        bins[i] += np.uint32((x * _BYTES) >> np.uint64(56))


@jit()
def _tally(bins: Any, counts: Any) -> None:
    for i in range(bins.size):
        counts[bins[i]] += 1


@jit()
def count(
    query_words: Any,
    database_words: Any,
    query_labels: Any,
    database_labels: Any,
    multi_label: bool,
    counts: Any,
) -> None:
    """Count the items at each distance from each query, separately for irrelevant and relevant items.

    Codes and labels are uint64 ``(n_words, n)``; the labels are those of a `Relevance`. The numbers of irrelevant items
    at distances 0 to ``n_bits``, followed by those of relevant items, are added to ``counts (q, 2 * (n_bits + 1))``,
    int32.
    """
    n_items = database_words.shape[1]
    width = counts.shape[1] // 2
    buffer = np.empty(_BLOCK, np.uint32)
    for start in range(0, n_items, _BLOCK):
        stop = min(start + _BLOCK, n_items)
        bins = buffer[: stop - start]
        for q in range(query_words.shape[1]):
            if multi_label:
                bins[:] = 0
                for w in range(query_labels.shape[0]):
                    _mark_shared(bins, database_labels[w, start:stop], query_labels[w, q], width)
            else:
                _mark_equal(bins, database_labels[0, start:stop], query_labels[0, q], width)
            for w in range(query_words.shape[0]):
                _add_distances(bins, database_words[w, start:stop], query_words[w, q])
            _tally(bins, counts[q])
