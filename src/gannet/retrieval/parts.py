"""Search by one part of hybrid codes."""

from __future__ import annotations

import functools
import os

from gannet.collection.collection import Collection
from gannet.collection.stored_model import read_model
from gannet.errors import GannetError, unknown_name
from gannet.index import DEFAULT_INDEX, IndexFactory, index_factory
from gannet.index.part import PartIndex
from gannet.model import Model

PARTS = ("kind", "nearest")
"""Names of the parts of a hybrid code, in their order."""


def parts_of(model: Model) -> dict[str, tuple[int, int]]:
    """Return the first bit of each part of a model's codes and the one after its last; empty if they have no parts."""
    ranges = model.encoder.ranges
    return dict(zip(PARTS, ranges, strict=True)) if len(ranges) == len(PARTS) else {}


def part_index(
    path: str | os.PathLike[str], part: str, index: str | IndexFactory = DEFAULT_INDEX
) -> functools.partial[PartIndex]:
    """Return what makes an index over one part of the codes of a collection, for `Collection.open`.

    Parameters
    ----------
    path : path-like
        File of a collection with a model that the method `hybrid` or `hybrid-refined` learned.
    part : {"kind", "nearest"}
        The bits to compare.
    index : str, type or callable, default="hamming"
        The index of those bits; see `Collection.open`.

    Returns
    -------
    callable
        The argument ``index`` of `Collection.open` or `gannet.retrieval.live.LiveCollection`.

    Raises
    ------
    GannetError
        If there is no such part, if the file is no collection, or if its codes have no parts.

    Examples
    --------
    Search for things of the same kind in a collection of hybrid codes::

        with Collection.open("photos.gannet", index=part_index("photos.gannet", "kind")) as collection:
            answers = search(collection, ["query.jpg"])
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS)
    make_index = index_factory(index)
    with Collection.open(path, readonly=True) as collection:
        parts = parts_of(read_model(collection))
    if not parts:
        raise GannetError(
            f"the codes of {os.fspath(path)} have no parts: fit a model with `--method hybrid`, or leave --part out"
        )
    return functools.partial(PartIndex, bits=parts[part], make_index=make_index)
