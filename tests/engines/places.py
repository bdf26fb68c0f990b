"""Types of the fixtures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


Place = Callable[[], str]
Make = Callable[..., Path]
Run = Callable[..., Result]
