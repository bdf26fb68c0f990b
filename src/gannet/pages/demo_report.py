"""What the demo found, as its page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One bar of the chart and one row of its table.

    Attributes
    ----------
        name: the method, such as ``UHGA``.
        size: what it keeps of a picture, such as ``64 bits``.
        map: mean average precision, 0 to 1; the expectation over ties.
        highlighted: whether this is the method of the demo.
    """

    name: str
    size: str
    map: float
    highlighted: bool = False


@dataclass(frozen=True)
class DemoPicture:
    """One picture of the data set: its path, the name of its class, and a JPEG thumbnail where there is one."""

    path: str
    class_name: str
    jpeg: bytes | None


@dataclass(frozen=True)
class DemoNeighbour:
    """A neighbour of a query, its Hamming distance in bits, and whether the two share a class."""

    picture: DemoPicture
    distance: int
    same_class: bool


@dataclass(frozen=True)
class DemoQuery:
    """A query and its neighbours, nearest first."""

    picture: DemoPicture
    neighbours: Sequence[DemoNeighbour]


@dataclass(frozen=True)
class DemoReport:
    """Everything the demo's page shows.

    Attributes
    ----------
        dataset: name of the data set for people, such as ``CIFAR-10``.
        found: where it was found.
        attempts: what was tried before and why it failed, one line each.
        n_training: pictures the codes were learned from, without their labels.
        n_database: pictures that were searched.
        n_queries: queries that ``scores`` and the distances are counted over.
        n_classes: classes, used to judge the neighbours alone.
        backbone: the image network, or what else the features are.
        n_features: floats per picture before hashing.
        method: the hasher, such as ``UHGA``.
        n_bits: length of the codes.
        fit_seconds: time to learn the codes from the features.
        images_per_second: rate of encoding, from the file to the code.
        scores: in the order to show them.
        same_class_distances: pairs of query and database item of one class at distance 0 to ``n_bits``,
            ``(n_bits + 1,)`` counts.
        other_class_distances: the same for pairs of different classes.
        n_distinct_codes: distinct codes in the database.
        ones_per_bit: share of the database whose bit is 1, ``(n_bits,)``, 0 to 1.
        queries: a few queries to look at.
    """

    dataset: str
    found: str
    attempts: Sequence[str]
    n_training: int
    n_database: int
    n_queries: int
    n_classes: int
    backbone: str
    n_features: int
    method: str
    n_bits: int
    fit_seconds: float
    images_per_second: float
    scores: Sequence[Score]
    same_class_distances: Sequence[int]
    other_class_distances: Sequence[int]
    n_distinct_codes: int
    ones_per_bit: Sequence[float]
    queries: Sequence[DemoQuery]
