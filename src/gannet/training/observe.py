"""The effect of a training step on the codes: its loss, the bits that flipped, and the flips that changed nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ObservedStep:
    """A training step, numbered from 1, its loss before the step, and its effect on the bits of its own batch.

    ``flipped`` is the share of the bits that flipped. ``undone`` is, among the bits in which similar pairs differed
    before the step, the share that flipped on both sides, so that the pair still differs (the dilemma of Huang et al.
    2019); 0 if no similar pair differed.
    """

    step: int
    loss: float
    flipped: float
    undone: float


Observer = Callable[[ObservedStep], None]


def flip_shares(before: Tensor, after: Tensor, similarity: Tensor) -> tuple[float, float]:
    """Return the shares ``flipped`` and ``undone`` of an `ObservedStep`.

    ``before`` and ``after`` are values ``(n + m, k)`` whose signs are the bits. ``similarity (n, m)`` of the first n
    items to the others is above 0 for similar pairs.
    """
    on, flip = before >= 0, (before >= 0) != (after >= 0)
    similar = (similarity > 0).to(before.dtype)
    differing = _pairs_apart(on, ~on, similar)
    # If both bits of a differing pair flip, the pair differs again.
    undone = _pairs_apart(on & flip, ~on & flip, similar)
    return float(flip.to(before).mean()), undone / differing if differing else 0.0


def _pairs_apart(on: Tensor, off: Tensor, similar: Tensor) -> float:
    """Return the number of bits of similar pairs of which one side is in ``on`` and the other in ``off``."""
    n = len(similar)
    ones, zeros = on.to(similar), off.to(similar)
    return float((ones[:n] * (similar @ zeros[n:]) + zeros[:n] * (similar @ ones[n:])).sum())
