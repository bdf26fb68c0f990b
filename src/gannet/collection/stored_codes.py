"""All codes of a collection in memory, and what a search needs of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gannet.codes import Codes, Ids
from gannet.index import HammingIndex, Index, IndexFactory
from gannet.index.id_runs import IdRuns
from gannet.index.protocol import ReadOnlyIndex


@dataclass(frozen=True)
class Searcher:
    """An index, and the codes of the ids ``(m,)`` that it finds, in their order."""

    index: ReadOnlyIndex
    codes: Callable[[Ids], Codes]


@dataclass(frozen=True)
class StoredCodes:
    """Codes ``(n, w)``, packed uint8, in the order of their ids, which are ascending."""

    ids: IdRuns
    codes: Codes
    n_bits: int

    def index(self, make: IndexFactory) -> Index:
        """Return an index over the codes."""
        # HammingIndex takes the runs of ids unexpanded, which saves eight bytes of memory per code.
        return make(self.codes, self.n_bits, ids=self.ids if make is HammingIndex else self.ids.all())

    def at(self, ids: Ids) -> Codes:
        """Return the codes of ``ids (m,)``, which are all present."""
        codes: Codes = np.take(self.codes, self.ids.find(ids), axis=0)
        return codes
