"""The search of a live collection or target: the nearest items to one code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids
from gannet.collection.stored_codes import Searcher
from gannet.errors import GannetError
from gannet.retrieval.found import Matches
from gannet.retrieval.plan import Plan, Ranked, compared_bits, compared_weights, make_plan


def checked_plan(k: int, radius: int | None, weights: npt.ArrayLike | None) -> Plan:
    """Return the plan of a search for the ``k`` nearest items, or raise a `GannetError`."""
    if radius is not None and radius < 0:
        raise GannetError(f"the radius must be 0 bits or more, not {radius}")
    return make_plan(k, None, None, weights is not None)


def find_matches(
    searcher: Searcher,
    paths: Callable[[Ids], Sequence[str]],
    plan: Plan,
    code: npt.ArrayLike,
    radius: int | None,
    weights: npt.ArrayLike | None,
) -> Matches:
    """Return the items nearest to a code, by distance or, with weights, by score."""
    queries = np.atleast_2d(np.asarray(code))
    ((distances, ids),) = plan.candidates(searcher.index, queries, weighed=weights is not None)
    found = Ranked(ids, distances)
    if radius is not None:
        found = found.take(np.flatnonzero(distances <= radius))
    if weights is not None:
        compared = compared_weights(searcher.index, weights)
        found = found.by_score(compared, searcher.codes(found.ids)).first(plan.k)
    codes = searcher.codes(found.ids)
    return Matches(found.ids, found.distances, paths(found.ids), codes, compared_bits(searcher.index), found.scores)
