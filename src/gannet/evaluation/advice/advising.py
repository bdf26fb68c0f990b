"""Measure methods, lengths and orders on a sample until the time is up, and recommend one of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gannet.errors import GannetError, unknown_name
from gannet.evaluation.advice import alternatives
from gannet.evaluation.advice.candidate import Candidate
from gannet.evaluation.advice.measuring import Trial
from gannet.evaluation.advice.recommendation import Recommendation, recommend
from gannet.evaluation.advice.sampled import Sampled
from gannet.hashers import get_hasher
from gannet.hashers.goals import GOALS
from gannet.hashers.takes import FromFeatures
from gannet.support.libraries import load
from gannet.support.progress import progress

LENGTHS = (64, 128, 32, 256, 512)
"""Lengths of codes in bits, in the order in which they are measured."""
RABITQ_BYTES = (16, 32, 64, 128)
SECONDS = 90.0
"""Time after which nothing more is measured."""
_FEW_ITEMS, _FEW_QUERIES = 2_000, 200
_GROWTH = 1.3


@dataclass(frozen=True)
class Advice:
    """What was measured, what was left out and why, and the recommendation.

    Attributes
    ----------
    goal : {"nearest", "kind"}
        What the codes are for.
    candidates : list of Candidate
        Everything that was measured, by method, length and order.
    recommendation : Recommendation
        The recommended candidate, with the reason.
    left_out : list of str
        What was not measured, with the reason.
    warnings : list of str
        What makes the figures less certain.
    n_queries, n_database : int
        Number of items held out, and of items that were learned from and searched.
    n_items : int
        Size of the collection for which the times to search are given.
    n_features : int
        Number of floats of an item.
    """

    goal: str
    candidates: list[Candidate]
    recommendation: Recommendation
    left_out: list[str]
    warnings: list[str]
    n_queries: int
    n_database: int
    n_items: int
    n_features: int


@dataclass(frozen=True)
class _Task:
    """One measurement of a method, whose duration grows with ``size``."""

    method: str
    size: int
    length: str
    measure: Callable[[], list[Candidate]]


def advise(sampled: Sampled, goal: str | None, n_items: int, seconds: float = SECONDS) -> Advice:
    """Measure methods, lengths and orders on a sample, and recommend one of them.

    Parameters
    ----------
    sampled : Sampled
        The sample, from `read_sampled`.
    goal : {"nearest", "kind"} or None
        What the codes are for: to find the nearest items by cosine, or items of the same kind. None is the default of
        ``gannet fit``.
    n_items : int
        Size of the collection for which the times to search are given.
    seconds : float, default=90.0
        Time after which nothing more is measured. What would probably end later is left out.

    Returns
    -------
    Advice
        The measurements and the recommendation.

    Raises
    ------
    GannetError
        If the goal is unknown; the message suggests the nearest name.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.evaluation.advice import Sampled, advise
    >>> rng = np.random.default_rng(0)
    >>> rows = (rng.normal(size=(330, 6)) @ rng.normal(size=(6, 40))).astype(np.float32)
    >>> advice = advise(Sampled(rows[:30], rows[30:]), "nearest", n_items=1000)
    >>> advice.recommendation.method
    'floats'
    """
    goal = goal or ("kind" if sampled.of_images else "nearest")
    if goal not in GOALS:
        raise unknown_name("goal", goal, GOALS)
    end = time.monotonic() + seconds
    trial = Trial.of(sampled, n_items)
    candidates = [
        alternatives.of_floats(trial),
        *alternatives.of_signs(trial, centered=False),
        *alternatives.of_signs(trial, centered=True),
    ]
    left_out: list[str] = []
    tasks = [*_methods(trial, goal, end, left_out), *_alternatives(trial, left_out)]
    candidates += _measured(sorted(tasks, key=_turn), end, left_out)
    shown = [*dict.fromkeys(task.method for task in tasks), "centered signs", "signs", "floats"]
    candidates.sort(key=lambda candidate: (shown.index(candidate.method), candidate.code_bytes))
    return Advice(
        goal,
        candidates,
        recommend(candidates, goal, n_items, sampled.of_images),
        left_out,
        _warnings(sampled, n_items),
        len(sampled.queries),
        len(sampled.database),
        n_items,
        sampled.database.shape[1],
    )


def _turn(task: _Task) -> int:
    """Return the key by which measurements are ordered: RaBitQ, which is quick, has the first turn."""
    return LENGTHS.index(task.size) if task.size in LENGTHS and task.method != alternatives.RABITQ else 0


def _methods(trial: Trial, goal: str, end: float, left_out: list[str]) -> list[_Task]:
    """Return the measurements of the methods of a goal, and of itq; methods that cannot be measured are named."""
    of_goal = GOALS[goal]
    wanted = dict.fromkeys([of_goal.matrix, of_goal.images, "itq", *([of_goal.training] if of_goal.training else [])])
    for other in GOALS.values():
        if other is not of_goal:
            names = [name for name in dict.fromkeys([other.matrix, other.images]) if name not in wanted]
            left_out += [f"{name}: it is for another goal ({other.description})" for name in names]
    tasks = []
    d = trial.sampled.database.shape[1]
    lengths = LENGTHS if d >= min(LENGTHS) else (d, *LENGTHS)
    for name in wanted:
        method = get_hasher(name)
        if not isinstance(method(n_bits=64).takes, FromFeatures):
            left_out.append(f"{name}: it learns from several views of each image, which take too long to read here")
            continue
        for bits in lengths:
            hasher = method(n_bits=bits, random_state=0)
            tasks.append(_Task(name, bits, f"{bits} bits", partial(trial.of_method, hasher, end)))
    return tasks


def _alternatives(trial: Trial, left_out: list[str]) -> list[_Task]:
    """Return the measurements of faiss, if it is installed."""
    try:
        faiss = load("faiss", "bench", "measuring PQ, OPQ and RaBitQ")
    except GannetError as error:
        left_out.append(f"faiss PQ, OPQ and RaBitQ: {error}")
        return []
    d = trial.sampled.database.shape[1]
    # From a size on, all principal components are kept.
    enough = next((n for n in RABITQ_BYTES if alternatives.rabitq_components(n, d) == d), RABITQ_BYTES[-1])
    sizes = [(alternatives.RABITQ, n) for n in RABITQ_BYTES if n <= enough]
    sizes += [(name, bits // 8) for name in (alternatives.OPQ, alternatives.PQ) for bits in LENGTHS]
    return [
        _Task(name, 8 * n, f"{n} bytes", partial(alternatives.of_faiss, trial, faiss, name, n)) for name, n in sizes
    ]


def _measured(tasks: list[_Task], end: float, left_out: list[str]) -> list[Candidate]:
    """Run measurements in order, except those that would probably not end in time, which are named."""
    found: list[Candidate] = []
    taken: dict[str, tuple[int, float]] = {}
    late: dict[str, list[str]] = {}
    with progress(len(tasks), "measuring", unit="code") as bar:
        for task in tasks:
            size, seconds = taken.get(task.method, (task.size, 0.0))
            expected = seconds * max(1.0, task.size / size) ** _GROWTH
            started = time.monotonic()
            if started + expected > end:
                late.setdefault(task.method, []).append(task.length)
            else:
                try:
                    found += task.measure()
                except GannetError as error:
                    left_out.append(f"{task.method} with {task.length}: {error}")
                taken[task.method] = task.size, time.monotonic() - started
            bar.update(1)
    left_out += [f"{method} with {', '.join(lengths)}: no time left" for method, lengths in late.items()]
    return found


def _warnings(sampled: Sampled, n_items: int) -> list[str]:
    n, q = len(sampled.database), len(sampled.queries)
    found = []
    if n < _FEW_ITEMS:
        found.append(
            f"the sample is small: the best 100 of only {n:,} items are easy to find; give {_FEW_ITEMS:,} or more"
        )
    elif n_items > n:
        found.append(f"recall is measured among {n:,} items, and is lower among {n_items:,}: use it to compare")
    if q < _FEW_QUERIES:
        error = 0.5 / q**0.5
        found.append(f"only {q} items are held out, so that shares are uncertain by about {error:.2f}")
    return found
