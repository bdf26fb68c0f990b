"""The choice of one candidate, and the reason for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gannet.evaluation.advice.candidate import Candidate
from gannet.hashers import method_for
from gannet.hashers.goals import GOALS
from gannet.support.memory import memory_limit

ENOUGH = 0.95
"""Share of the 10 nearest items among the best 100 from which a longer code is not recommended."""
_CLOSE = 0.01
"""Differences in recall or MAP that are not worth more bytes."""
_PATIENCE = 0.05
"""Seconds that a query by the floats themselves may take before codes are recommended."""
_SHARE_OF_MEMORY = 0.25
_DEFAULT_BITS = 64


@dataclass(frozen=True)
class Recommendation:
    """The recommended way to store and search the items.

    Attributes
    ----------
    method : str
        Name of the method or alternative, as in `Candidate`.
    bits : int or None
        Length of the codes; None for floats.
    order : str
        What orders the results, as in `Candidate`.
    code_bytes : int
        Size of the code of an item, or of its floats.
    reason : str
        Two sentences.
    """

    method: str
    bits: int | None
    order: str
    code_bytes: int
    reason: str


def recommend(candidates: Sequence[Candidate], goal: str, n_items: int, of_images: bool) -> Recommendation:
    """Return the recommendation for a goal.

    Floats are recommended if they fit in a quarter of the memory and are searched quickly. Otherwise, for the nearest
    items, it is the shortest code of Gannet that finds enough, unless one of faiss does so with half of its bytes; if
    none does, the code that finds most when the kept floats re-rank its results. For items of a kind it is the
    shortest code with the best MAP; without labels, the method and the length that ``gannet fit`` takes. So it is if
    none of the methods could be measured.
    """
    floats = next(each for each in candidates if each.order == "cosine")
    methods = [each for each in candidates if each.method in _names(goal)]
    size = floats.code_bytes * n_items
    cheap = size <= _SHARE_OF_MEMORY * memory_limit() and floats.search_seconds <= _PATIENCE
    stored = f"The floats of {n_items:,} items would take {_size(size)}"
    if goal == "nearest" and cheap:
        return _of(
            floats,
            f"{stored.replace('would take', 'take only')}, and one query compares them all in about "
            f"{1000 * floats.search_seconds:.1f} ms. Codes would only lose accuracy; they pay from some millions of "
            "items on.",
        )
    if not methods:
        return _default(
            goal,
            of_images,
            "None of the methods for this goal could be measured in the time that was given, so that this is the "
            "choice of `gannet fit`. Run `gannet advise` again on a faster or less busy computer to measure them.",
        )
    if goal == "nearest":
        return _for_nearest(candidates, methods, stored)
    if floats.map is None:
        return _default(
            goal,
            of_images,
            "The nearest items by cosine, which recall counts, are not always of the same kind, so that recall cannot "
            "choose here, and this is the choice of `gannet fit`. Give --labels to measure MAP, which counts items of "
            "the same class.",
        )
    return _for_kind(candidates, methods, floats, cheap, stored)


def _default(goal: str, of_images: bool, reason: str) -> Recommendation:
    """Return the method and the length that ``gannet fit`` takes for a goal."""
    name = method_for(goal, images=of_images)
    return Recommendation(name, _DEFAULT_BITS, "asymmetric", _DEFAULT_BITS // 8, reason)


def _for_nearest(candidates: Sequence[Candidate], methods: Sequence[Candidate], stored: str) -> Recommendation:
    own = _shortest([each for each in methods if each.order == "asymmetric"])
    other = _shortest([each for each in candidates if each.order == "estimate"])
    if own is not None and (other is None or 2 * other.code_bytes > own.code_bytes):
        return _of(
            own,
            f"{own.code_bytes} bytes an item suffice: {_found(own)} by score. {stored}, "
            f"{_ratio(own, candidates)} times as much.",
        )
    if other is not None:
        needs = (
            f"the codes of Gannet need {own.code_bytes}" if own else "no code of Gannet that was measured finds enough"
        )
        return _of(
            other,
            f"{other.code_bytes} bytes an item suffice with {other.method}, where {needs}: {_found(other)}. "
            f"Its scan takes {_milliseconds(other)} a query, and its codes have no Hamming distances.",
        )
    reranked = [each for each in candidates if each.order == "rerank"]
    best = max(each.recall_at_10_in_100 for each in reranked)
    near = [each for each in reranked if each.recall_at_10_in_100 >= best - _CLOSE]
    chosen = min(near, key=lambda each: (each.is_of_faiss, each.code_bytes))
    return _of(
        chosen,
        f"No code by itself finds {ENOUGH:.0%} of the 10 nearest, but with the floats kept on disk to re-rank its best "
        f"results {_found(chosen)}. {stored} in memory; {chosen.code_bytes} bytes an item are searched there instead.",
    )


def _for_kind(
    candidates: Sequence[Candidate],
    methods: Sequence[Candidate],
    floats: Candidate,
    cheap: bool,
    stored: str,
) -> Recommendation:
    codes = [each for each in methods if each.order in ("hamming", "asymmetric")]
    top = max(_map(each) for each in codes)
    best = min((each for each in codes if _map(each) >= top - _CLOSE), key=lambda each: (each.code_bytes, -_map(each)))
    if cheap and _map(floats) >= top:
        return _of(
            floats,
            f"{stored.replace('would take', 'take only')}, and their MAP of {floats.map:.3f} is above that of every "
            f"code that was measured, {top:.3f} at most. Codes pay for larger collections.",
        )
    return _of(
        best,
        f"Its MAP by class is {_map(best):.3f}, where the cosine of the floats has {floats.map:.3f} and no longer code "
        f"that was measured has over {_map(best) + _CLOSE:.3f}. {stored}, {_ratio(best, candidates)} times as much.",
    )


def _names(goal: str) -> list[str]:
    of_goal = GOALS[goal]
    return list(dict.fromkeys([of_goal.matrix, of_goal.images, *([of_goal.training] if of_goal.training else [])]))


def _shortest(candidates: Sequence[Candidate]) -> Candidate | None:
    enough = [each for each in candidates if each.recall_at_10_in_100 >= ENOUGH]
    return min(enough, key=lambda each: (each.code_bytes, -each.recall_at_10_in_100), default=None)


def _of(candidate: Candidate, reason: str) -> Recommendation:
    return Recommendation(candidate.method, candidate.bits, candidate.order, candidate.code_bytes, reason)


def _found(candidate: Candidate) -> str:
    return f"{candidate.recall_at_10_in_100:.0%} of the 10 nearest items are among the best 100"


def _map(candidate: Candidate) -> float:
    return candidate.map or 0.0


def _milliseconds(candidate: Candidate) -> str:
    return f"{1000 * candidate.search_seconds:.1f} ms"


def _ratio(candidate: Candidate, candidates: Sequence[Candidate]) -> int:
    floats = next(each for each in candidates if each.order == "cosine")
    return round(floats.code_bytes / candidate.code_bytes)


def _size(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"
