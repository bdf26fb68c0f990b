"""Small files of networks and tokenizers, between a folder and a model file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_files(folder: str, files: Mapping[str, str] | Mapping[str, bytes]) -> None:
    """Write texts or bytes to files of a folder."""
    for name, content in files.items():
        (Path(folder) / name).write_bytes(content.encode() if isinstance(content, str) else content)


def saved_files(tokenizer: Any) -> dict[str, bytes]:
    """Return the files that a tokenizer saves, by name; they are enough to make it again."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {file.name: file.read_bytes() for file in sorted(Path(folder).iterdir())}
