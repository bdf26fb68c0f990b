"""The compiled inner loop of `gannet.evaluation.score_ranking`. Importing this module imports numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from gannet.support.compiled import jit

_CODE = np.uint64(0xFFFFFFFF)
_SCORE_SHIFT = np.uint64(32)


@jit()
def _count_relevant(labels: Any, start: int, stop: int, wanted: Any, multi_label: bool) -> int:
    n = 0
    for i in range(start, stop):
        if multi_label:
            for w in range(labels.shape[0]):
                if labels[w, i] & wanted[w]:
                    n += 1
                    break
        elif labels[0, i] == wanted[0]:
            n += 1
    return n


@jit()
def count_ties(
    keys: Any, ends: Any, labels: Any, query_labels: Any, multi_label: bool, items: Any, relevant: Any
) -> int:
    """Count the items and the relevant items in each tie of the rankings of some queries, best score first.

    ``keys (q, n_codes)`` uint64 are sorted and hold the score in the upper 32 bits and the number of the code in the
    lower ones. Code ``c`` has the items from ``ends[c - 1]`` to ``ends[c]``. ``labels (n_words, m)`` and ``query_labels
    (n_words, q)`` are those of a `Relevance`. The counts are written to the first columns of ``items`` and
    ``relevant (q, n_codes)``, which hold zeros before; neighboring ties without a relevant item share a column, which
    changes no average precision. Returns the number of columns that were written for the query with the most ties.
    """
    width = 1
    for q in range(keys.shape[0]):
        column = -1
        for j in range(keys.shape[1]):
            if j == 0 or keys[q, j] >> _SCORE_SHIFT != keys[q, j - 1] >> _SCORE_SHIFT:
                # Two columns without relevant items become one before the next tie begins.
                if column > 0 and relevant[q, column] == 0 and relevant[q, column - 1] == 0:
                    items[q, column - 1] += items[q, column]
                    items[q, column] = 0
                else:
                    column += 1
            code = np.int64(keys[q, j] & _CODE)
            start, stop = (ends[code - 1] if code else 0), ends[code]
            items[q, column] += stop - start
            relevant[q, column] += _count_relevant(labels, start, stop, query_labels[:, q], multi_label)
        width = max(width, column + 1)
    return width
