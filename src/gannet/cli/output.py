"""Functions that several commands share: printing, checking output files, and reading settings."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gannet.data import Skipped
from gannet.errors import GannetError


def say(text: str) -> None:
    """Print a line. File names that are not UTF-8 are escaped."""
    click.echo(text.encode(errors="backslashreplace"))


def warn(text: str) -> None:
    """Print a line on standard error."""
    click.echo(text.encode(errors="backslashreplace"), err=True)


def say_json(value: Any) -> None:
    """Print a value as JSON in ASCII, which can represent file names that are not UTF-8."""
    click.echo(json.dumps(value, indent=2))


def warn_skipped(skipped: Sequence[Skipped]) -> None:
    """Print how many items were skipped, and the path and reason of each."""
    if skipped:
        warn(f"skipped {len(skipped):,}:")
        for item in skipped:
            warn(f"  {item.path}: {item.reason}")


def changed_note(shown: Mapping[str, Any]) -> str:
    """Return the note beside an item or a query whose file has changed, or an empty text."""
    return " (changed since it was indexed)" if shown.get("changed") else ""


def warn_not_compared(count: int) -> None:
    """Print how many items, if any, were not compared with their files because there are too many."""
    if count:
        warn(f"{count:,} more items were not compared with their files, which may have changed since they were indexed")


def check_folder(output: Path) -> None:
    """Raise an error, before the work starts, if a file cannot be written to its folder."""
    if not output.parent.is_dir():
        raise GannetError(f"the folder {output.parent} does not exist: make it first")
    if not os.access(output.parent, os.W_OK):
        raise GannetError(f"the folder {output.parent} cannot be written to: choose another one")


def check_page(file: Path) -> None:
    """Raise an error if a page cannot be written, or would replace a file that is not a page."""
    check_folder(file)
    if file.exists() and not (file.is_file() and _is_page(file)):
        raise GannetError(f"{file} exists and is not a page: name another file")


def _is_page(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(15).lower() == b"<!doctype html>"


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """Return the settings that were given as ``--set KEY=VALUE``."""
    pairs = [text.partition("=") for text in settings]
    for text, (key, mark, _) in zip(settings, pairs, strict=True):
        if not key or not mark:
            raise GannetError(f"--set takes KEY=VALUE, not {text!r}")
    return {key: value for key, _, value in pairs}
