"""The contract of a method: the base classes that methods extend, and their settings."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from gannet.hashers.goals import method_for
from gannet.registry import Registry

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher

__all__ = ["all_hashers", "get_hasher", "method_for", "registry"]


@functools.cache
def registry() -> Registry[Hasher]:
    """Return the registry of methods."""
    from gannet.hashers.base import Hasher

    return Registry("method", Hasher, "gannet.methods", "gannet.methods")  # type: ignore[type-abstract]


def all_hashers() -> dict[str, type[Hasher]]:
    """Return every method that can be imported.

    Returns
    -------
    dict of str to type
        The classes by name, in alphabetical order.
    """
    return registry().all()


def get_hasher(name: str) -> type[Hasher]:
    """Return the class of a method by its name.

    Parameters
    ----------
    name : str
        Name of the method.

    Returns
    -------
    type
        The class.

    Raises
    ------
    GannetError
        If there is no such method; the message suggests the nearest name.
    """
    return registry().get(name)
