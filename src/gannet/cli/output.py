"""What commands print: JSON, counts and skipped items."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from gannet.data import Skipped


def say(text: str) -> None:
    """Print a line; names that are not UTF-8 are shown escaped."""
    click.echo(text.encode(errors="backslashreplace"))


def warn(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text.encode(errors="backslashreplace"), err=True)


def say_json(value: Any) -> None:
    """Print a value as JSON, in ASCII, so that any file name survives."""
    click.echo(json.dumps(value, indent=2))


def warn_skipped(skipped: Sequence[Skipped]) -> None:
    """Say how many items were skipped, and which, with the reason."""
    if skipped:
        warn(f"skipped {len(skipped):,}:")
        for item in skipped:
            warn(f"  {item.path}: {item.reason}")
