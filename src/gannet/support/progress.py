"""Progress on standard error: a bar on a terminal, lines from time to time if they are asked for, else nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, Self

_LINE = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]"

_seconds: float | None = None
_hidden = False


@contextlib.contextmanager
def progress_lines(seconds: float = 30.0) -> Iterator[None]:
    """Let `progress` print a line every so many seconds if standard error is no terminal, as in a log file."""
    global _seconds
    before, _seconds = _seconds, seconds
    try:
        yield
    finally:
        _seconds = before


@contextlib.contextmanager
def hidden_progress() -> Iterator[None]:
    """Let `progress` print nothing, in a part of longer work that has a bar of its own."""
    global _hidden
    before, _hidden = _hidden, True
    try:
        yield
    finally:
        _hidden = before


def progress(total: int | None, description: str, unit: str = "it", hidden: bool = False) -> Any:
    """Return a tqdm bar on standard error with rate and remaining time.

    Without a terminal it prints nothing, or lines within `progress_lines`. Use it as a context manager and call
    ``update(n)``.
    """
    from tqdm import tqdm

    hidden = hidden or _hidden
    if _seconds is not None and not hidden and not sys.stderr.isatty():
        return _Lines(total, description, unit, _seconds)
    return tqdm(total=total, desc=description, unit=unit, unit_scale=True, disable=hidden or None, leave=False)


class _Lines:
    """Prints a line at the first update after some seconds, and so on."""

    def __init__(self, total: int | None, description: str, unit: str, seconds: float) -> None:
        self._total, self._description, self._unit, self._seconds = total, description, unit, seconds
        self._n = 0
        self._start = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, n: int = 1) -> None:
        from tqdm import tqdm

        self._n += n
        now = time.monotonic()
        if now - self._last >= self._seconds:
            self._last = now
            line = tqdm.format_meter(
                self._n,
                self._total,
                now - self._start,
                prefix=self._description,
                unit=self._unit,
                unit_scale=True,
                bar_format=_LINE if self._total else None,
            )
            print(line, file=sys.stderr, flush=True)
