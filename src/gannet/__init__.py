"""Gannet learns compact binary codes for images without labels, by gradient attention, and searches them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gannet.backbones import Backbone
    from gannet.collection import Collection
    from gannet.collection.indexing import sync
    from gannet.data import Dataset, ImageSource, LabeledImages, MatrixSource, SourceKind, open_source
    from gannet.errors import GannetError
    from gannet.evaluation import Evaluation, evaluate
    from gannet.feature_reader import FeatureReader, Features
    from gannet.hashers.base import Hasher
    from gannet.hashers.images import PixelHasher, ViewsHasher
    from gannet.hashers.pairwise import PairwiseHasher
    from gannet.image_hasher import ImageHasher
    from gannet.index import HammingIndex, Index
    from gannet.methods.bihalf import BiHalf
    from gannet.methods.cibhash import CIBHash
    from gannet.methods.crovca import CroVCA
    from gannet.methods.dsh import DSH
    from gannet.methods.greedyhash import GreedyHash
    from gannet.methods.hashgan import HashGAN
    from gannet.methods.hybrid import Hybrid
    from gannet.methods.hybrid_refined import HybridRefined
    from gannet.methods.itq import ITQ
    from gannet.methods.itq_refined import ITQRefined
    from gannet.methods.lsh import LSH
    from gannet.methods.pcah import PCAH, RotatedPCAH
    from gannet.methods.sdc import SDC
    from gannet.methods.sh import SH
    from gannet.methods.sph import SpH
    from gannet.methods.ssdh import SSDH, SSDHWithAttention
    from gannet.methods.uhga import UHGA, UHGAPlain
    from gannet.methods.uhga_graph import UHGAGraph, UHGAGraphPlain
    from gannet.methods.uhga_views import UHGAViews, UHGAViewsPlain
    from gannet.methods.usdh import USDH
    from gannet.model import Model
    from gannet.retrieval.duplicates import find_duplicates
    from gannet.retrieval.query import search
    from gannet.training.fine_tuning import FineTuning
    from gannet.training.gradient_attention import GradientAttention
    from gannet.training.trainer import PairwiseTrainer

__version__ = "0.1.0"

# Modules are imported when a name is first used, so that searching imports no torch and learning no image network.
_MODULES = {
    "Backbone": "gannet.backbones",
    "BiHalf": "gannet.methods.bihalf",
    "CIBHash": "gannet.methods.cibhash",
    "Collection": "gannet.collection",
    "CroVCA": "gannet.methods.crovca",
    "DSH": "gannet.methods.dsh",
    "Dataset": "gannet.data",
    "Evaluation": "gannet.evaluation",
    "FeatureReader": "gannet.feature_reader",
    "Features": "gannet.feature_reader",
    "FineTuning": "gannet.training.fine_tuning",
    "GannetError": "gannet.errors",
    "GradientAttention": "gannet.training.gradient_attention",
    "GreedyHash": "gannet.methods.greedyhash",
    "HammingIndex": "gannet.index",
    "HashGAN": "gannet.methods.hashgan",
    "Hasher": "gannet.hashers.base",
    "Hybrid": "gannet.methods.hybrid",
    "HybridRefined": "gannet.methods.hybrid_refined",
    "ITQ": "gannet.methods.itq",
    "ITQRefined": "gannet.methods.itq_refined",
    "ImageHasher": "gannet.image_hasher",
    "ImageSource": "gannet.data",
    "Index": "gannet.index",
    "LSH": "gannet.methods.lsh",
    "LabeledImages": "gannet.data",
    "MatrixSource": "gannet.data",
    "Model": "gannet.model",
    "PCAH": "gannet.methods.pcah",
    "PairwiseHasher": "gannet.hashers.pairwise",
    "PairwiseTrainer": "gannet.training.trainer",
    "PixelHasher": "gannet.hashers.images",
    "RotatedPCAH": "gannet.methods.pcah",
    "SDC": "gannet.methods.sdc",
    "SH": "gannet.methods.sh",
    "SSDH": "gannet.methods.ssdh",
    "SSDHWithAttention": "gannet.methods.ssdh",
    "SourceKind": "gannet.data",
    "SpH": "gannet.methods.sph",
    "UHGA": "gannet.methods.uhga",
    "UHGAGraph": "gannet.methods.uhga_graph",
    "UHGAGraphPlain": "gannet.methods.uhga_graph",
    "UHGAPlain": "gannet.methods.uhga",
    "UHGAViews": "gannet.methods.uhga_views",
    "UHGAViewsPlain": "gannet.methods.uhga_views",
    "USDH": "gannet.methods.usdh",
    "ViewsHasher": "gannet.hashers.images",
    "evaluate": "gannet.evaluation",
    "find_duplicates": "gannet.retrieval.duplicates",
    "open_source": "gannet.data",
    "search": "gannet.retrieval.query",
    "sync": "gannet.collection.indexing",
}

__all__ = [
    "DSH",
    "ITQ",
    "LSH",
    "PCAH",
    "SDC",
    "SH",
    "SSDH",
    "UHGA",
    "USDH",
    "Backbone",
    "BiHalf",
    "CIBHash",
    "Collection",
    "CroVCA",
    "Dataset",
    "Evaluation",
    "FeatureReader",
    "Features",
    "FineTuning",
    "GannetError",
    "GradientAttention",
    "GreedyHash",
    "HammingIndex",
    "HashGAN",
    "Hasher",
    "Hybrid",
    "HybridRefined",
    "ITQRefined",
    "ImageHasher",
    "ImageSource",
    "Index",
    "LabeledImages",
    "MatrixSource",
    "Model",
    "PairwiseHasher",
    "PairwiseTrainer",
    "PixelHasher",
    "RotatedPCAH",
    "SSDHWithAttention",
    "SourceKind",
    "SpH",
    "UHGAGraph",
    "UHGAGraphPlain",
    "UHGAPlain",
    "UHGAViews",
    "UHGAViewsPlain",
    "ViewsHasher",
    "evaluate",
    "find_duplicates",
    "open_source",
    "search",
    "sync",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'gannet' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
