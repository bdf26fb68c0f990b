"""Small text files of networks and tokenizers, between a folder and a model file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_files(folder: str, files: Mapping[str, str]) -> None:
    """Write text files to a folder."""
    for name, text in files.items():
        (Path(folder) / name).write_text(text, encoding="utf-8")


def saved_files(tokenizer: Any) -> dict[str, str]:
    """Return the text files that a tokenizer saves, by name; they are enough to make it again."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {file.name: file.read_text(encoding="utf-8") for file in sorted(Path(folder).iterdir())}
