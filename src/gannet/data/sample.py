"""Splits of a source into items to learn from and items that are held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ImageSource, Subset
from gannet.data.matrix import MatrixSource, names_at, read_rows
from gannet.data.options import MOST_HELD_OUT, Sample

Source = ImageSource | MatrixSource

FEWEST = 100
"""Of fewer items than this, none is held out."""


def drawn(source: Source, sample: Sample) -> Source:
    """Return a random sample of a source; the source itself if it has no more items."""
    rows = sample.rows(len(source))
    return source if rows is None else items_at(source, rows)


def n_held_out(n_items: int) -> int:
    """Return how many of ``n_items`` to hold out: one for every ten to learn from, at most 1,000; none of under 100."""
    return 0 if n_items < FEWEST else min(MOST_HELD_OUT, n_items // 11)


def split(source: Source, n_held: int, seed: int | None) -> tuple[Source, Source]:
    """Return the items of a source to learn from, and ``n_held`` random ones that are held out, each in its order."""
    held = np.zeros(len(source), bool)
    held[np.random.default_rng(seed).choice(len(source), n_held, replace=False)] = True
    first = items_at(source, np.flatnonzero(~held))
    first.total = source.total
    return first, items_at(source, np.flatnonzero(held))


def items_at(source: Source, rows: NDArray[np.int64]) -> Source:
    """Return the items of a source at some places; the others are not read."""
    if isinstance(source, ImageSource):
        part: Source = Subset(source, rows, source.skipped)
    else:
        part = MatrixSource(source.container, read_rows(source.features, rows), names_at(source.paths, rows))
    part.notes, part.total = source.notes, source.total
    return part
