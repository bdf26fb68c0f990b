"""Recall of codes on items that were held out of training: a measure that needs no labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn import clone

from gannet.codes import Codes
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.evaluation.float_ranking import nearest_by_cosine, recall_of_nearest
from gannet.image_hasher import ImageHasher, Training
from gannet.model import Model

N_NEIGHBORS = 10
DEPTHS = (10, 100, 1000)
MOST_ITEMS = 50_000
"""Largest number of items of the database of a measurement."""


@dataclass(frozen=True)
class HeldOut:
    """Items that were held out of training, as queries of a database of other items.

    Parameters
    ----------
    queries : ndarray of shape (q, d)
        Features of the items held out.
    database : ndarray of shape (m, d)
        Features of the database.
    nearest : ndarray of shape (q, k), dtype int64
        Rows of the nearest items in the database of each query by cosine similarity.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import ITQ
    >>> from gannet.evaluation.held_out import HeldOut
    >>> features = np.random.default_rng(0).normal(size=(1100, 16)).astype(np.float32)
    >>> held_out = HeldOut.of(features[:100], features[100:])
    >>> hasher = ITQ(n_bits=8).fit(held_out.database)
    >>> recall = held_out.recall(hasher.transform(held_out.queries), hasher.transform(held_out.database), n_bits=8)
    >>> sorted(recall)
    [10, 100, 1000]
    """

    queries: npt.NDArray[Any]
    database: npt.NDArray[Any]
    nearest: npt.NDArray[np.int64]

    @classmethod
    def of(cls, queries: npt.NDArray[Any], database: npt.NDArray[Any], k: int = N_NEIGHBORS) -> Self:
        """Find the nearest items of each query.

        Parameters
        ----------
        queries : ndarray of shape (q, d)
            Features of the items held out.
        database : ndarray of shape (m, d)
            Features of the database.
        k : int, default=10
            Number of nearest items by cosine similarity, at most the size of the database.

        Returns
        -------
        HeldOut
            The queries, the database and the nearest items.

        Raises
        ------
        GannetError
            If the features are malformed, or if ``k`` is below 1.
        """
        return cls(queries, database, nearest_by_cosine(queries, database, k))

    def recall(
        self,
        query_codes: npt.ArrayLike,
        database_codes: npt.ArrayLike,
        n_bits: int,
        depths: Sequence[int] = DEPTHS,
        query_values: npt.ArrayLike | None = None,
    ) -> dict[int, float]:
        """Return the share of the nearest items by cosine that are among the nearest by code.

        Parameters
        ----------
        query_codes : array-like of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes of the queries.
        database_codes : array-like of shape (m, ceil(n_bits / 8)), dtype uint8
            Packed codes of the database.
        n_bits : int
            Length of the codes in bits.
        depths : sequence of int, default=(10, 100, 1000)
            Numbers of nearest items by code.
        query_values : array-like of shape (q, n_bits), default=None
            Real values of the queries, from `gannet.Model.bit_weights`: the nearest items are those with the best
            scores, not those at the smallest Hamming distances.

        Returns
        -------
        dict of int to float
            Mean over the queries, by depth.

        Raises
        ------
        GannetError
            If codes or values are malformed or their numbers do not match, or if a depth is below 1.
        """
        return recall_of_nearest(query_codes, database_codes, self.nearest, n_bits, depths, query_values)


@dataclass(frozen=True)
class FitRecall:
    """How well the codes of a fitted model keep the nearest items, measured on items held out of training.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.
    n_neighbors : int
        Number of nearest items by cosine that are looked for.
    n_candidates : int
        Number of nearest items by code among which they are looked for: 100, or a tenth of a small database.
    n_queries, n_database : int
        Number of items held out, and of items that were learned from and searched.
    by_score : float
        Share of the nearest items by cosine that are among the best by score, as in a search by a row.
    by_distance : float
        The same share for the nearest by Hamming distance.
    by_score_of_double : float or None
        The share by score for codes of twice the length; None if it was not measured.
    """

    n_bits: int
    n_neighbors: int
    n_candidates: int
    n_queries: int
    n_database: int
    by_score: float
    by_distance: float
    by_score_of_double: float | None = None

    def __str__(self) -> str:
        double = self.by_score_of_double
        with_double = "" if double is None else f" ({double:.0%} with {2 * self.n_bits} bits)"
        return (
            f"{self.n_bits} bits: of the {self.n_neighbors} nearest by cosine, {self.by_score:.0%} are among the best "
            f"{self.n_candidates} by code{with_double}, {self.by_distance:.0%} by Hamming distance alone; "
            f"{self.n_queries:,} items held out, compared with {self.n_database:,}"
        )


def measure_fit(hasher: ImageHasher, training: Training, double: bool = False) -> FitRecall | None:
    """Measure the codes of a fitted model on the items that were held out.

    The items that were learned from, at most 50,000 random ones, are the database. Cosines are those of the features
    of the published image network, also if the network was trained; of the pixels, if the method reads pixels.

    Parameters
    ----------
    hasher : ImageHasher
        The fitted model.
    training : Training
        The data that it was fitted on, from its `read_training`.
    double : bool, default=False
        Whether to fit the method with twice the bits too, and measure it. A length that the data do not allow is not
        measured.

    Returns
    -------
    FitRecall or None
        The result; None if no item was held out, or none of them could be read.
    """
    if training.held_out is None or training.held_out_source is None or not len(training.held_out.values):
        return None
    queries, database = training.held_out, training.features
    if database.takes != queries.takes:  # views: the unchanged images are the database
        database = hasher.reader.read(training.source, queries.takes)
    n_database = len(database.values)
    rows = np.arange(n_database)
    if n_database > MOST_ITEMS:
        rows = np.sort(np.random.default_rng(0).choice(n_database, MOST_ITEMS, replace=False))
    n_candidates = max(1, min(100, len(rows) // 10))
    held_out = HeldOut.of(_flat(queries.values), _flat(database.values[rows]), min(N_NEIGHBORS, n_candidates))

    coded = queries.values, database.values[rows]
    if hasher.fine_tuning:
        coded = hasher.features(training.held_out_source).values, hasher.features(training.source).values[rows]
    model = hasher.model
    codes = model.encoder.encode(coded[0]), model.encoder.encode(coded[1])

    def recall(codes: tuple[Codes, Codes], n_bits: int, values: Floats | None = None) -> float:
        return held_out.recall(*codes, n_bits, [n_candidates], values)[n_candidates]

    by_score = recall(codes, model.n_bits, model.bit_weights(coded[0]))
    by_score_of_double = None
    longer = _fit_double(hasher, training) if double and not hasher.fine_tuning else None
    if longer is not None:
        codes_of_longer = longer.encoder.encode(coded[0]), longer.encoder.encode(coded[1])
        by_score_of_double = recall(codes_of_longer, longer.n_bits, longer.bit_weights(coded[0]))
    return FitRecall(
        model.n_bits,
        held_out.nearest.shape[1],
        n_candidates,
        len(coded[0]),
        len(rows),
        by_score,
        recall(codes, model.n_bits),
        by_score_of_double,
    )


def _fit_double(hasher: ImageHasher, training: Training) -> Model | None:
    """Return the model of the method with twice the bits; None if the data do not allow it."""
    try:
        longer = clone(hasher.hasher).set_params(n_bits=2 * hasher.model.n_bits)
        return Model.of(longer.fit(training.features.values), training.features.extractor)
    except GannetError:
        return None


def _flat(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.reshape(len(values), -1)
