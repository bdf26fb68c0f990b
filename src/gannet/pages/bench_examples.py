"""The example retrievals on the page of a benchmark: pictures that each method finds for a few queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from gannet.data import ImageSource, thumbnail
from gannet.errors import GannetError
from gannet.evaluation.split_data import SplitData
from gannet.evaluation.summary import Groups, lengths
from gannet.pages.pictures import Picture, make_picture

_USUAL_BITS = 64
_SIDE = 64


@dataclass(frozen=True)
class FoundItem:
    """A retrieved item, its Hamming distance, and whether it is relevant to the query."""

    picture: Picture
    distance: int
    relevant: bool


@dataclass(frozen=True)
class Example:
    """A query, and the items that each method finds for it, nearest first."""

    query: Picture
    found: Sequence[tuple[str, Sequence[FoundItem]]]


def retrievals(shown: Sequence[str], groups: Groups, data: SplitData) -> tuple[int, list[Example]]:
    """Return the measured code length that is nearest to 64, and the examples of the first seed at that length."""
    bits = min(lengths(groups), key=lambda n: abs(n - _USUAL_BITS))
    first = {name: groups[name, bits][0] for name in shown if (name, bits) in groups}
    of_methods = {
        name: {example.query: example.found for example in record.examples}
        for name, record in first.items()
        if record.examples
    }
    picture = cache(_picture_reader(data.source))
    split = data.split
    return bits, [
        Example(
            picture(int(split.query[asked])),
            [
                (
                    name,
                    [
                        FoundItem(picture(int(split.database[row])), distance, bool(relevant))
                        for row, distance, relevant in queries[asked]
                    ],
                )
                for name, queries in of_methods.items()
            ],
        )
        for asked in next(iter(of_methods.values()), ())
    ]


def _picture_reader(source: ImageSource) -> Callable[[int], Picture]:
    def read(item: int) -> Picture:
        try:
            jpeg = thumbnail(source.read(item), _SIDE)
        except GannetError:
            jpeg = None
        return make_picture(source.paths[item], jpeg)

    return read
