"""Progress bars, shown on a terminal only."""

from __future__ import annotations

from typing import Any


def progress(total: int | None, description: str, unit: str = "it", hidden: bool = False) -> Any:
    """Return a tqdm bar on standard error with rate and remaining time; without a terminal it prints nothing.

    Use it as a context manager and call ``update(n)``.
    """
    from tqdm import tqdm

    return tqdm(total=total, desc=description, unit=unit, unit_scale=True, disable=hidden or None, leave=False)
