"""Progress bars: shown on a terminal, silent anywhere else."""

from __future__ import annotations

from typing import Any


def progress(total: int | None, description: str, unit: str = "it", hidden: bool = False) -> Any:
    """Return a tqdm bar on standard error with rate and time left; it prints nothing off a terminal or if hidden.

    Use it as a context manager and call ``update(n)``.
    """
    from tqdm import tqdm

    return tqdm(total=total, desc=description, unit=unit, unit_scale=True, disable=hidden or None, leave=False)
