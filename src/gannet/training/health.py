"""Training that goes wrong, said in one line: out of memory, a loss that is not a number, codes that collapse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from gannet.errors import GannetError

ENTROPY_FLOOR = 0.1
"""Mean entropy of the bits: 0.1 is what a bit has that is the same for 98.7% of the items."""

DISTINCT_FLOOR = 0.01
"""Distinct codes a training item; never more than ``2^(n_bits / 2)`` codes are asked for."""

SAMPLE = 1000
"""Items that are looked at, where there are as many."""

FEWEST = 50
"""Under so many different items, a few codes are no sign of a collapse."""


@contextmanager
def suggest_smaller_batch(batch_size: int) -> Iterator[None]:
    """Turn running out of memory into a `GannetError` that names the setting to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
            raise
        remedy = f"a smaller batch, such as --set batch_size={batch_size // 2}" if batch_size > 3 else "fewer bits"
        raise GannetError(f"out of memory in training with batch_size={batch_size}: use {remedy}") from None


def _is_out_of_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return "out of memory" in text or "allocate memory" in text


def is_check_due(step: int, n_steps: int) -> bool:
    """Tell whether the codes are looked at after ``step`` steps: about ten times in a training, and at its end."""
    return step % max(1, n_steps // 10) == 0 or step == n_steps


def health_sample(inputs: Tensor) -> Tensor:
    """Return up to a thousand different rows of ``inputs (N, d)``, evenly spaced before equal ones are dropped."""
    rows: Tensor = torch.unique(inputs[:: max(1, len(inputs) // SAMPLE)][:SAMPLE], dim=0)
    return rows


def check_finite_values(values: Tensor, step: int) -> None:
    """Stop a training whose values, of any shape, are not finite after ``step`` steps."""
    if not bool(torch.isfinite(values).all()):
        raise diverged(step)


def check_health(values: Tensor, step: int) -> None:
    """Stop a training whose values ``(n, k)`` before the sign, of different items, are useless after ``step`` steps.

    Raises: `GannetError` for values that are not finite, bits whose mean entropy is under `ENTROPY_FLOOR`, and fewer
    distinct codes than `DISTINCT_FLOOR` asks for; the two latter for at least `FEWEST` items.
    """
    n, n_bits = values.shape
    check_finite_values(values, step)
    if n < FEWEST:
        return
    bits = (values >= 0).cpu().numpy()
    entropy = _mean_entropy(bits.mean(axis=0))
    distinct = len(np.unique(np.packbits(bits, axis=1), axis=0))
    least = int(min(DISTINCT_FLOOR * n, 2.0 ** (n_bits / 2)))
    if entropy < ENTROPY_FLOOR or distinct < least:
        raise GannetError(
            f"the codes collapsed by step {step}: {n:,} training items have {distinct:,} different codes (at least "
            f"{max(least, 2):,} are expected) and bits of {entropy:.2f} bit entropy (at least {ENTROPY_FLOOR}); set "
            "a lower learning_rate or, where the method has them, optimizer=adam or a similarity that finds fewer "
            "pairs similar"
        )


def diverged(step: int) -> GannetError:
    """Return the error of a training that is lost."""
    return GannetError(
        f"the loss is not a number after step {step}: training diverged; set a lower learning_rate, such as a tenth"
    )


def _mean_entropy(shares: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> float:
    """Return the mean entropy in bits of bits that are 1 for these shares of the items."""
    inside = np.clip(shares, 1e-12, 1 - 1e-12)
    return float(-(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).mean())
