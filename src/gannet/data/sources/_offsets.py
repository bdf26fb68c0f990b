"""Where the items of a source of several parts are."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate


class Offsets:
    """The places of items that are counted through all parts, from the sizes of the parts."""

    def __init__(self, sizes: Iterable[int]) -> None:
        self._ends = [0, *accumulate(sizes)]

    def __len__(self) -> int:
        return self._ends[-1]

    def find(self, index: int) -> tuple[int, int]:
        """Return the number of the part that holds an item, and the place of the item in it."""
        part = bisect_right(self._ends, index) - 1
        return part, index - self._ends[part]
