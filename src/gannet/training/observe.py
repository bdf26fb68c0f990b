"""What a training step did to the codes: the loss, the bits that flipped, and the flips that changed nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class ObservedStep:
    """One step of the training, seen on its own batch.

    Attributes
    ----------
        step: its number, from 1.
        loss: before the step, as the trainer sums it.
        flipped: share of the batch's bits that the step flipped, 0 to 1.
        undone: of the bits in which similar pairs differed before the step, the share that flipped on both sides at
            once, so that the pair still differs (the dilemma of Huang et al. 2019); 0 where no similar pair differed.
    """

    step: int
    loss: float
    flipped: float
    undone: float


Observer = Callable[[ObservedStep], None]


def flip_shares(before: Tensor, after: Tensor, similarity: Tensor) -> tuple[float, float]:
    """Return the shares ``flipped`` and ``undone`` of an `ObservedStep`.

    Parameters: values ``(n + m, k)`` whose signs are the bits, before and after the step; similarities ``(n, m)`` of
    the first n items to the others, above 0 for a similar pair.
    """
    on, flip = before >= 0, (before >= 0) != (after >= 0)
    similar = (similarity > 0).to(before.dtype)
    differing = _pairs_apart(on, ~on, similar)
    # Among bits that flip, a pair that is apart flips on both sides and is apart again.
    undone = _pairs_apart(on & flip, ~on & flip, similar)
    return float(flip.to(before).mean()), undone / differing if differing else 0.0


def _pairs_apart(on: Tensor, off: Tensor, similar: Tensor) -> float:
    """Return for how many similar pairs and bits one side is among ``on`` and the other among ``off``."""
    n = len(similar)
    ones, zeros = on.to(similar), off.to(similar)
    return float((ones[:n] * (similar @ zeros[n:]) + zeros[:n] * (similar @ ones[n:])).sum())
