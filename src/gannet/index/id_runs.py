"""Ascending ids stored as runs without gaps, which take little memory if few ids are missing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids


class IdRuns:
    """``n`` ascending ids, looked up by position.

    ``starts`` are the positions at which the runs begin, ascending from 0; ``shifts`` are the differences between id
    and position in each run.
    """

    def __init__(self, n: int, starts: Ids, shifts: Ids) -> None:
        self._n, self.starts, self.shifts = n, starts, shifts

    @classmethod
    def of(cls, parts: Iterable[Ids]) -> Self:
        """Return the runs of ascending ids, given as consecutive parts."""
        starts, shifts = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        n, following = 0, None
        for ids in parts:
            if not len(ids):
                continue
            breaks = np.flatnonzero(ids[1:] != ids[:-1] + 1) + 1
            if int(ids[0]) != following:
                breaks = np.concatenate([[0], breaks])
            starts.append(breaks + n)
            shifts.append(ids[breaks] - breaks - n)
            n, following = n + len(ids), int(ids[-1]) + 1
        return cls(n, np.concatenate(starts), np.concatenate(shifts))

    def __len__(self) -> int:
        return self._n

    def all(self) -> Ids:
        """Return all ids ``(n,)``."""
        return np.arange(self._n) + np.repeat(self.shifts, np.diff(self.starts, append=self._n))

    def take(self, positions: npt.NDArray[np.int64]) -> Ids:
        """Return the ids at ``positions``, an array of any shape."""
        if not self._n:
            return positions
        return positions + self.shifts[np.searchsorted(self.starts, positions, side="right") - 1]

    def find(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Return the positions of ``ids``, an array of any shape; all of them are present."""
        if not self._n:
            return ids
        return ids - self.shifts[np.searchsorted(self.starts + self.shifts, ids, side="right") - 1]

    def locate(self, ids: Ids) -> npt.NDArray[np.int64]:
        """Return the positions of ``ids``, an array of any shape, or -1 for those that are not present."""
        firsts = self.starts + self.shifts
        runs = np.searchsorted(firsts, ids, side="right") - 1
        if not self._n:
            return runs
        # An id before the first run is compared with that run. Differences beyond 64 bits wrap, and are below 0 then.
        places = ids - firsts[runs]
        present = (runs >= 0) & (places >= 0) & (places < np.diff(self.starts, append=self._n)[runs])
        return np.where(present, places + self.starts[runs], -1)
