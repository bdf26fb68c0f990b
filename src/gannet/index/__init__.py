"""Indexes of packed codes in memory: their interface, and the exact Hamming index with its kernels; no file access."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gannet.errors import GannetError
from gannet.index.hamming import HammingIndex
from gannet.index.protocol import Index, IndexFactory

if TYPE_CHECKING:
    from gannet.registry import Registry

DEFAULT_INDEX = HammingIndex.name


@functools.cache
def registry() -> Registry[Index]:
    """Return the registry of indexes."""
    from gannet.registry import Registry

    # Any class with a name is an index: `Index` is a protocol, which classes need not inherit from.
    return Registry("index", object, "gannet.index", "gannet.indexes")  # type: ignore[arg-type]


def all_indexes() -> dict[str, type[Index]]:
    """Return every index class by name, in alphabetical order.

    Returns
    -------
    dict of str to type
        Gannet's own classes, and those that other distributions name in the entry-point group ``gannet.indexes``,
        without the engines among them (`gannet.engines.Engine`).
    """
    return {name: cls for name, cls in registry().all().items() if not _is_engine(cls)}


def get_index(name: str) -> type[Index]:
    """Return the index class of a name.

    Parameters
    ----------
    name : str
        ``"hamming"``, or a name from the entry-point group ``gannet.indexes``.

    Returns
    -------
    type
        A class that is called as ``cls(codes, n_bits, ids=ids)``; see `Index`.

    Raises
    ------
    GannetError
        If there is no such index (the message suggests the nearest name), or if it cannot be imported.
    """
    # Looking for entry points takes longer than a small search, so the default does without.
    if name == DEFAULT_INDEX:
        return HammingIndex
    found = registry().get(name)
    if _is_engine(found):
        raise GannetError(f"{name!r} is an engine: give its target in place of the collection, as in {name}:PLACE")
    return found


def _is_engine(cls: type) -> bool:
    return bool(getattr(cls, "is_engine", False))


def index_factory(index: str | IndexFactory) -> IndexFactory:
    """Return the callable that makes an index, given its name, its class or the callable itself."""
    if isinstance(index, str):
        return get_index(index)
    if not callable(index):
        raise GannetError(f"an index must be a name, a class or a factory, not {type(index).__name__}")
    return index


__all__ = [
    "DEFAULT_INDEX",
    "HammingIndex",
    "Index",
    "IndexFactory",
    "all_indexes",
    "get_index",
    "index_factory",
    "registry",
]
