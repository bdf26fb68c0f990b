"""Example retrievals of a benchmark, as pictures: what each method finds for the same few queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from gannet.data import thumbnail
from gannet.errors import GannetError
from gannet.evaluation.items import SplitFeatures
from gannet.evaluation.summary import Groups, lengths
from gannet.pages.pictures import Picture, make_picture

_USUAL_BITS = 64
_SIDE = 64


@dataclass(frozen=True)
class FoundItem:
    """A neighbour, its distance in bits, and whether it is relevant to the query."""

    picture: Picture
    distance: int
    relevant: bool


@dataclass(frozen=True)
class Example:
    """A query and what each method finds for it, nearest first."""

    query: Picture
    found: Sequence[tuple[str, Sequence[FoundItem]]]


def retrievals(shown: Sequence[str], groups: Groups, features: SplitFeatures) -> tuple[int, list[Example]]:
    """Return a number of bits, as near to 64 as was measured, and examples by the first seed at that length."""
    bits = min(lengths(groups), key=lambda n: abs(n - _USUAL_BITS))
    first = {name: groups[name, bits][0] for name in shown if (name, bits) in groups}
    of_methods = {
        name: {example["query"]: example["found"] for example in record["examples"]}
        for name, record in first.items()
        if "examples" in record
    }
    picture = cache(_reader(features))
    split = features.split
    return bits, [
        Example(
            picture(int(split.query[asked])),
            [
                (name, [FoundItem(picture(int(split.database[row])), *rest) for row, *rest in queries[asked]])
                for name, queries in of_methods.items()
            ],
        )
        for asked in next(iter(of_methods.values()), ())
    ]


def _reader(features: SplitFeatures) -> Callable[[int], Picture]:
    source = features.source

    def read(item: int) -> Picture:
        try:
            jpeg = thumbnail(source.read(item), _SIDE)
        except GannetError:
            jpeg = None
        return make_picture(source.paths[item], jpeg)

    return read
