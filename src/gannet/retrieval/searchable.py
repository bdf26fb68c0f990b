"""What a search needs of a collection, or of a target to which one was exported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import numpy.typing as npt

from gannet.codes import Codes
from gannet.collection.items import Item
from gannet.collection.stored_codes import Searcher


class Searchable(Protocol):
    """A `gannet.Collection` or a `gannet.engines.Target`; their methods of these names describe what they return."""

    @property
    def name(self) -> str:
        """Name for messages and pages."""

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""

    def model(self) -> bytes:
        """Return the model file."""

    def snapshot(self) -> AbstractContextManager[None]:
        """Read one state in the block, if that is possible."""

    def searcher(self) -> Searcher:
        """Return an index over all codes, with the codes of what it finds."""

    def codes(self, ids: npt.ArrayLike) -> Codes:
        """Return the codes of items."""

    def paths(self, ids: npt.ArrayLike) -> list[str]:
        """Return the paths of items."""

    def items_at(self, paths: Sequence[str]) -> list[Item]:
        """Return the items with exactly these paths."""

    def find_digests(self, digests: Sequence[bytes]) -> dict[bytes, list[int]]:
        """Return the ids of the items with these content digests."""

    def features(self, ids: npt.ArrayLike) -> Any:
        """Return the features of items, or raise a `GannetError` if none are kept."""
