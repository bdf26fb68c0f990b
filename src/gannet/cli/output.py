"""What commands share: what they print, and how they read settings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gannet.data import Skipped
from gannet.errors import GannetError


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


def check_folder(output: Path) -> None:
    """Refuse before the work a file that could not be written after it."""
    if not output.parent.is_dir():
        raise GannetError(f"the folder {output.parent} does not exist: make it first")
    if not os.access(output.parent, os.W_OK):
        raise GannetError(f"the folder {output.parent} cannot be written to: choose another one")


def check_page(file: Path) -> None:
    """Never replace anything but a page, a collection least of all."""
    check_folder(file)
    if file.exists() and not (file.is_file() and _is_page(file)):
        raise GannetError(f"{file} exists and is not a page: name another file")


def _is_page(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(15).lower() == b"<!doctype html>"


def parse_settings(settings: Sequence[str]) -> dict[str, str]:
    """Return the settings given as ``--set KEY=VALUE``."""
    pairs = [text.partition("=") for text in settings]
    for text, (key, mark, _) in zip(settings, pairs, strict=True):
        if not key or not mark:
            raise GannetError(f"--set takes KEY=VALUE, not {text!r}")
    return {key: value for key, _, value in pairs}
