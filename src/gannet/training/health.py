"""Health checks of a training: it stops if memory runs out, the loss is not a number or the codes collapse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from gannet.errors import GannetError

ENTROPY_FLOOR = 0.1
"""Least mean entropy per bit: a bit that is equal for 98.7% of the items has 0.1."""

DISTINCT_FLOOR = 0.01
"""Least number of distinct codes per training item; at most ``2^(n_bits / 2)`` codes are required."""

SAMPLE = 1000
"""Largest number of items that are checked."""

FEWEST = 50
"""Least number of items that are checked for a collapse: of fewer, few distinct codes are normal."""


@contextmanager
def suggest_smaller_batch(batch_size: int) -> Iterator[None]:
    """Replace errors about memory by a `GannetError` that names the setting to change."""
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
    """Return whether the codes are checked after ``step`` steps: about ten times in a training, and at its end."""
    return step % max(1, n_steps // 10) == 0 or step == n_steps


def health_sample(inputs: Tensor) -> Tensor:
    """Return up to a thousand distinct rows of ``inputs (N, d)``, evenly spaced."""
    rows: Tensor = torch.unique(inputs[:: max(1, len(inputs) // SAMPLE)][:SAMPLE], dim=0)
    return rows


def check_finite_values(values: Tensor, step: int) -> None:
    """Raise a `GannetError` if values of any shape are not finite after ``step`` steps."""
    if not bool(torch.isfinite(values).all()):
        raise diverged(step)


def check_health(values: Tensor, step: int) -> None:
    """Raise a `GannetError` if the values before the sign ``(n, k)`` of distinct items are useless.

    They are if a value is not finite or, for at least `FEWEST` items, if the mean entropy of the bits is below
    `ENTROPY_FLOOR` or there are fewer distinct codes than `DISTINCT_FLOOR` requires.
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
    """Return the error for a training whose loss is not a number."""
    return GannetError(
        f"the loss is not a number after step {step}: training diverged; set a lower learning_rate, such as a tenth"
    )


def _mean_entropy(shares: np.ndarray[tuple[int, ...], np.dtype[np.floating]]) -> float:
    """Return the mean entropy, in bits, of bits that are 1 for these shares of the items."""
    inside = np.clip(shares, 1e-12, 1 - 1e-12)
    return float(-(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside)).mean())
