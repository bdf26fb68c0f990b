"""Methods that learn binary codes, one file each; every module of this folder is searched for them."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import TYPE_CHECKING

from gannet.errors import unknown_name

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher


@functools.cache
def all_hashers() -> dict[str, type[Hasher]]:
    """Return every method by name, in alphabetical order."""
    from gannet.hashers.base import Hasher

    found: dict[str, type[Hasher]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            is_method = isinstance(value, type) and issubclass(value, Hasher) and "name" in vars(value)
            if is_method and value.__module__ == module.__name__:
                found[value.name] = value
    return dict(sorted(found.items()))


def get_hasher(name: str) -> type[Hasher]:
    """Return the method of that name, or raise a `GannetError` with the nearest one."""
    hashers = all_hashers()
    if name not in hashers:
        raise unknown_name("method", name, hashers)
    return hashers[name]
