"""What a `gannet.retrieval.live.LiveCollection` returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, Ids
from gannet.encoders import Floats
from gannet.index.protocol import Distances


@dataclass(frozen=True)
class CodedItem:
    """An item of the collection with its code ``(w,)``, packed uint8."""

    id: int
    path: str
    code: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Matches:
    """The ``m`` items that a search found, with their packed codes ``(m, w)``.

    They are ordered by distance in bits, then by id. If there are ``scores (m,)``, these come first, highest first.
    ``compared`` are the first bit that distances and scores count, and the one after the last.
    """

    ids: Ids
    distances: Distances
    paths: Sequence[str]
    codes: Codes
    compared: tuple[int, int]
    scores: Floats | None = None


@dataclass(frozen=True)
class EncodedQuery:
    """The code ``(w,)`` of an image or a text, packed uint8, and the weights of its bits ``(n_bits,)``."""

    code: npt.NDArray[np.uint8]
    weights: Floats


@dataclass(frozen=True)
class Group:
    """A group of ``size`` near-duplicates, and the ids and paths of the first of them by id."""

    size: int
    items: Sequence[tuple[int, str]]
