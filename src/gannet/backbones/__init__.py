"""Pre-trained networks: one file a backbone, their fast runtime, and the cache of what they computed.

Listing backbones imports neither torch nor OpenVINO.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from gannet.backbones.base import Backbone
from gannet.errors import unknown_name

DEFAULT_BACKBONE = "efficientnet-lite0"


def all_backbones() -> dict[str, type[Backbone]]:
    """Return every backbone by name, found by looking through this package."""
    found = {}
    for info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{info.name}")
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if issubclass(cls, Backbone) and cls.__module__ == module.__name__ and not inspect.isabstract(cls):
                found[cls.name] = cls
    return dict(sorted(found.items()))


def get_backbone(name: str = DEFAULT_BACKBONE, size: int | None = None) -> Backbone:
    """Return the backbone of a name, seeing images of ``size`` pixels a side (its own default where None).

    Raises:
        GannetError: no backbone has that name, or the size does not suit it.
    """
    backbones = all_backbones()
    if name not in backbones:
        raise unknown_name("backbone", name, backbones)
    return backbones[name](size)


__all__ = ["DEFAULT_BACKBONE", "Backbone", "all_backbones", "get_backbone"]
