"""The page of the demo, and the report that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gannet.codes import n_bytes
from gannet.pages.pictures import Neighbor, Picture, Query, all_tiny, make_picture, pictures_of
from gannet.pages.rendering import render


@dataclass(frozen=True)
class Score:
    """The mean average precision of one method.

    Parameters
    ----------
    name : str
        Name of the method, such as ``"UHGA"``.
    size : str
        What the method stores per picture, such as ``"64 bits"``.
    map : float
        Mean average precision, 0 to 1, as the expectation over all orders of ties.
    highlighted : bool, default=False
        Whether this is the method of the demo.
    """

    name: str
    size: str
    map: float
    highlighted: bool = False


@dataclass(frozen=True)
class DemoPicture:
    """A picture of the data set: its path, the name of its class, and its JPEG thumbnail, if any."""

    path: str
    class_name: str
    jpeg: bytes | None


@dataclass(frozen=True)
class DemoNeighbor:
    """A neighbor of a query, its Hamming distance in bits, and whether it has the query's class."""

    picture: DemoPicture
    distance: int
    same_class: bool


@dataclass(frozen=True)
class DemoQuery:
    """A query and its neighbors, nearest first."""

    picture: DemoPicture
    neighbors: Sequence[DemoNeighbor]


@dataclass(frozen=True)
class DemoReport:
    """The results of the demo.

    Parameters
    ----------
    dataset : str
        Display name of the data set, such as ``"CIFAR-10"``.
    found : str
        Where the data set was found.
    attempts : sequence of str
        Data sets that were tried before, each with the reason of the failure, one line each.
    n_training : int
        Number of pictures that the codes were learned from, without labels.
    n_database : int
        Number of pictures that were searched.
    n_queries : int
        Number of queries behind ``scores`` and the histograms of distances.
    n_classes : int
        Number of classes. They are used for the evaluation only.
    backbone : str
        Name of the image network.
    n_features : int
        Number of floats per picture before hashing.
    method : str
        Name of the method, such as ``"UHGA"``.
    n_bits : int
        Length of the codes in bits.
    fit_seconds : float
        Time to learn the codes from the features, in seconds.
    images_per_second : float
        Pictures encoded per second, from the file to the features.
    scores : sequence of Score
        Methods, in the order in which the page shows them.
    same_class_distances : sequence of int of length n_bits + 1
        Number of pairs of a query and a picture of its class at each Hamming distance from 0 to ``n_bits``.
    other_class_distances : sequence of int of length n_bits + 1
        Number of pairs of a query and a picture of another class at each Hamming distance.
    n_distinct_codes : int
        Number of distinct codes in the database.
    ones_per_bit : sequence of float of length n_bits
        Fraction of the database in which each bit is 1, 0 to 1.
    queries : sequence of DemoQuery
        A few queries to look at.
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


@dataclass(frozen=True)
class _Curve:
    """Fractions of all pairs at distance 0, 1, ... and their mean distance."""

    shares: Sequence[float]
    mean: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> _Curve:
        total = sum(counts) or 1
        return cls([count / total for count in counts], sum(x * count for x, count in enumerate(counts)) / total)


def demo_page(report: DemoReport) -> str:
    """Return the HTML page of the demo, complete in one file."""
    queries = [
        Query(
            _picture(query.picture),
            query.picture.class_name,
            [
                Neighbor(_picture(near.picture), near.picture.class_name, near.distance, near.same_class)
                for near in query.neighbors
            ],
        )
        for query in report.queries
    ]
    return render(
        "demo.html",
        report=report,
        n_bits=report.n_bits,
        code_bytes=n_bytes(report.n_bits),
        queries=queries,
        tiny=all_tiny(pictures_of(queries)),
        same=_Curve.of(report.same_class_distances),
        other=_Curve.of(report.other_class_distances),
    )


def _picture(picture: DemoPicture) -> Picture:
    return make_picture(picture.path, picture.jpeg)
