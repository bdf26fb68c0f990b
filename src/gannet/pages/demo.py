"""The page of the demo, and the report that it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gannet.codes import n_bytes
from gannet.pages.pictures import Neighbor, Picture, Query, all_tiny, make_picture, pictures_of
from gannet.pages.rendering import render


@dataclass(frozen=True)
class Score:
    """Mean average precision of a method, from 0 to 1, as the expectation over all orders of ties.

    ``size`` is what it stores per picture, such as "64 bits"; ``highlighted`` marks the method of the demo.
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

    ``found`` says where the data set was found, and ``attempts`` which others were tried before and why they failed.
    Classes are used for the evaluation only. ``images_per_second`` counts from the file to the features. The histograms
    hold the number of pairs of a query and a picture at each Hamming distance from 0 to ``n_bits``, and
    ``ones_per_bit`` the fraction of the database in which each bit is 1. ``scores`` are shown in their order;
    ``queries`` are a few to look at.
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
