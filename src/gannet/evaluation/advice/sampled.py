"""A random sample of a source: queries, and the items that methods learn from and that are searched."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.collection.feature_rows import half_unit
from gannet.data import ImageSource, MatrixSource, Skipped
from gannet.data.sample import FEWEST, items_at
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.float_ranking import nearest_by_cosine
from gannet.evaluation.labels import relevance
from gannet.feature_reader import FeatureReader, first_reason
from gannet.image_hasher import check_rows
from gannet.support.arrays import unit_rows

Ranking = npt.NDArray[np.int64]

MOST_ITEMS = 10_000
"""Largest number of items that are learned from and searched."""
MOST_QUERIES = 500
N_NEIGHBORS = 10
_MOST_VALUES = 16_000_000
_IMAGES_AT_ONCE = 200


@dataclass(frozen=True)
class Sampled:
    """A random sample of a source.

    Parameters
    ----------
    queries : ndarray of shape (q, d), dtype float32
        Features of the items held out.
    database : ndarray of shape (m, d), dtype float32
        Features of the items that are learned from and searched, in random order.
    query_labels, database_labels : ndarray of shape (q,) and (m,), or (q, n_labels) and (m, n_labels), default=None
        Their classes, or 0/1 rows; None without labels.
    skipped : tuple of Skipped, default=()
        Items that could not be read.
    of_images : bool, default=False
        Whether the features are those of images.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.evaluation.advice import Sampled
    >>> rows = np.random.default_rng(0).normal(size=(220, 16)).astype(np.float32)
    >>> Sampled(rows[:20], rows[20:]).nearest.shape
    (20, 10)
    """

    queries: Floats
    database: Floats
    query_labels: npt.NDArray[Any] | None = None
    database_labels: npt.NDArray[Any] | None = None
    skipped: tuple[Skipped, ...] = ()
    of_images: bool = False

    @functools.cached_property
    def nearest(self) -> Ranking:
        """Rows of the 10 nearest items of each query by cosine, nearest first: ``(q, min(10, m))``."""
        rows = nearest_by_cosine(self.queries, self.database, N_NEIGHBORS)
        cosines = np.einsum("qd,qkd->qk", unit_rows(self.queries), unit_rows(self.database)[rows])
        return np.take_along_axis(rows, np.argsort(-cosines, axis=1, kind="stable"), axis=1)

    @functools.cached_property
    def kept(self) -> npt.NDArray[np.float16]:
        """The database as a collection keeps it: at unit length, in half precision."""
        return half_unit(self.database)

    @functools.cached_property
    def relevant(self) -> npt.NDArray[np.bool_] | None:
        """Whether each item has the class of each query, or shares a label with it: ``(q, m)``; None without labels."""
        if self.query_labels is None or self.database_labels is None:
            return None
        return relevance(self.query_labels, self.database_labels).rows(slice(None))


def read_sampled(
    source: ImageSource | MatrixSource,
    labels: npt.NDArray[Any] | None = None,
    seconds: float = 40.0,
    reader: FeatureReader | None = None,
) -> Sampled:
    """Read a random sample of a source: at most 500 queries and 10,000 other items, and at most 16 million values.

    Parameters
    ----------
    source : ImageSource or MatrixSource
        The items, or a random sample of them.
    labels : ndarray of shape (n,) or (n, n_labels), default=None
        Labels of all items of the source, as `read_labels` returns them.
    seconds : float, default=40.0
        Time after which no more images are read, from the first 200 on.
    reader : FeatureReader, default=None
        Reader of the features of images; None is one with the default network.

    Returns
    -------
    Sampled
        The sample, the same in every call unless time is up before all images are read.

    Raises
    ------
    GannetError
        If fewer than 100 items can be read, or if a matrix holds NaN or infinity.
    """
    order = np.random.default_rng(0).permutation(len(source))
    if isinstance(source, MatrixSource):
        order = order[: min(MOST_QUERIES + MOST_ITEMS, max(FEWEST, _MOST_VALUES // source.features.shape[1]))]
        part = items_at(source, np.sort(order))
        assert isinstance(part, MatrixSource)
        check_rows(part)
        rows = order
        values = np.asarray(part.features[np.argsort(np.argsort(order))], np.float32)
        skipped: list[Skipped] = []
    else:
        values, rows, skipped = _read_images(
            source, order[: MOST_QUERIES + MOST_ITEMS], seconds, reader or FeatureReader()
        )
    if len(rows) < FEWEST:
        why = f"; {first_reason(skipped)}" if skipped else ""
        raise GannetError(f"too few items to advise on, {len(rows)}: give {FEWEST} or more{why}")
    n, of_images = min(MOST_QUERIES, len(values) // 11), isinstance(source, ImageSource)
    if labels is None:
        return Sampled(values[:n], values[n:], None, None, tuple(skipped), of_images)
    return Sampled(values[:n], values[n:], labels[rows[:n]], labels[rows[n:]], tuple(skipped), of_images)


def _read_images(
    source: ImageSource, order: Ranking, seconds: float, reader: FeatureReader
) -> tuple[Floats, Ranking, list[Skipped]]:
    """Return the features of images in some order, their places in the source, and the images that cannot be read."""
    values: list[Floats] = []
    rows: list[int] = []
    skipped = list(source.skipped)
    end = 0.0
    for start in range(0, len(order), _IMAGES_AT_ONCE):
        block = order[start : start + _IMAGES_AT_ONCE]
        before = time.monotonic()
        part = items_at(source, block)
        found = reader.read(part)
        place = {path: int(row) for path, row in zip(part.paths, block, strict=True)}
        values.append(found.values)
        rows += [place[path] for path in found.paths]
        skipped += found.skipped[len(source.skipped) :]
        now = time.monotonic()
        end = end or now + seconds  # the network is prepared with the first images
        if now + (now - before) > end:
            break
    empty = np.empty((0, 1), np.float32)
    return np.concatenate(values) if rows else empty, np.array(rows, np.int64), skipped
