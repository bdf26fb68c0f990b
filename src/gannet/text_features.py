"""The text network of a model: what is recorded of it when the model is learned, and the network itself for queries."""

from __future__ import annotations

import logging

from gannet.backbones import LibraryExtractor, TextNetwork, make_text_network
from gannet.backbones.texts import TextRecord
from gannet.errors import GannetError
from gannet.feature_reader import FeatureReader, Features
from gannet.hashers.takes import FromPixels
from gannet.model import Model

log = logging.getLogger("gannet")


def record_texts(features: Features, given: TextNetwork | None) -> TextRecord | None:
    """Return the record of a model's text network; None if it has none.

    It is the ``given`` one, or else the text tower of the image network that made the features. If the tower can't be
    used, a warning says so.
    """
    extractor = features.extractor
    if given is not None:
        if isinstance(features.takes, FromPixels):
            raise GannetError("the method reads pixels, which match no texts: leave the text network out")
        return TextRecord.of(given, features.values, is_tower=False, embeds=False)
    if not isinstance(extractor, LibraryExtractor):
        return None
    try:
        tower = extractor.text_tower({})
        if tower is None:
            return None
        embeds = extractor.provenance.may_embed
        return TextRecord.of(tower, features.values, is_tower=True, embeds=embeds)
    except GannetError as error:
        log.warning("the model will take no texts with %s: %s", extractor.name, error)
        return None


def text_network_of(model: Model, reader: FeatureReader, given: TextNetwork | None) -> TextNetwork:
    """Return the text network of a model, whose image network ``reader`` has.

    It is the ``given`` one if the model records a network that it does not hold. Raises a `GannetError` if the model
    has none, if it is missing, or if it is another one than the model records.
    """
    record = model.texts
    if record is None:
        raise GannetError(_no_texts(model))
    if record.network is not None:
        network = given or _installed(record.network)
    elif given is not None:
        raise GannetError(f"the image network {model.backbone!r} has a text tower: leave the text network out")
    else:
        extractor = reader.extractor
        tower = extractor.text_tower(record.files) if isinstance(extractor, LibraryExtractor) else None
        if tower is None:
            raise GannetError(f"the image network {extractor.name!r} has no text tower: give that of the model")
        network = tower
    if network.digest != record.digest or record.network not in (None, network.name):
        kind = "tokenizer" if record.network is None else "text network"
        raise GannetError(
            f"the model was made with the {kind} of {record.network or model.backbone!r}, SHA-256 "
            f"{record.digest[:16]}…, not with that of {network.name!r}, {network.digest[:16]}…: give the same, or fit "
            "the model again"
        )
    return network


def _installed(name: str) -> TextNetwork:
    try:
        return make_text_network(name)
    except GannetError as error:
        raise GannetError(
            f"the model needs the text network {name!r}: install it, or pass it as in gannet.search(..., "
            f"text_network=...) ({error})"
        ) from None


def _no_texts(model: Model) -> str:
    if not model.has_network:
        return (
            "the model has no text network: name the one that made the vectors in `gannet fit --text-network NAME`, "
            "and index them again"
        )
    return (
        f"the model has no text tower of the image network {model.backbone!r}: fit one with a network for images and "
        "texts, such as --backbone open_clip:NAME/PRETRAINED, and index the images again"
    )
