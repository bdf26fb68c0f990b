"""Gannet learns compact binary codes for images without labels, by gradient attention, and searches them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gannet.backbones import Backbone
    from gannet.collection import Collection
    from gannet.errors import GannetError
    from gannet.feature_reader import FeatureReader
    from gannet.image_hasher import ImageHasher
    from gannet.index import HammingIndex
    from gannet.methods.itq import ITQ
    from gannet.methods.lsh import LSH
    from gannet.methods.uhga import UHGA, UHGAPlain
    from gannet.training.fine_tuning import FineTuning
    from gannet.training.gradient_attention import GradientAttention
    from gannet.training.trainer import PairwiseTrainer

__version__ = "0.1.0"

# Modules are imported when a name is first used, so that searching imports no torch and learning no image network.
_HOMES = {
    "Backbone": "gannet.backbones",
    "Collection": "gannet.collection",
    "FeatureReader": "gannet.feature_reader",
    "FineTuning": "gannet.training.fine_tuning",
    "GannetError": "gannet.errors",
    "GradientAttention": "gannet.training.gradient_attention",
    "HammingIndex": "gannet.index",
    "ITQ": "gannet.methods.itq",
    "ImageHasher": "gannet.image_hasher",
    "LSH": "gannet.methods.lsh",
    "PairwiseTrainer": "gannet.training.trainer",
    "UHGA": "gannet.methods.uhga",
    "UHGAPlain": "gannet.methods.uhga",
}

__all__ = [
    "ITQ",
    "LSH",
    "UHGA",
    "Backbone",
    "Collection",
    "FeatureReader",
    "FineTuning",
    "GannetError",
    "GradientAttention",
    "HammingIndex",
    "ImageHasher",
    "PairwiseTrainer",
    "UHGAPlain",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'gannet' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
