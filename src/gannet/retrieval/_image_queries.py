"""Encoding of image queries by the model of a collection or a target."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING

from gannet.collection.stored_model import HoldsModel, read_model
from gannet.errors import GannetError
from gannet.retrieval.found import EncodedImage

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher


class ImageEncoder:
    """Encodes images one at a time, because the network uses all cores by itself, and images take much memory."""

    def __init__(self, collection: HoldsModel) -> None:
        self._collection = collection
        self._lock = threading.Lock()

    def encode(self, image: bytes) -> EncodedImage:
        """Return the code of an image, and the weights of its bits."""
        with self._lock:
            found = self._hasher.features([image])
            if found.skipped:
                raise GannetError(f"the image cannot be used: {found.skipped[0].reason}")
            model = self._hasher.model
            return EncodedImage(model.encoder.encode(found.values)[0], model.bit_weights(found.values)[0])

    @cached_property
    def _hasher(self) -> ImageHasher:
        model = read_model(self._collection)
        if model.backbone is None:
            raise GannetError("this collection is of vectors, not of images: search it by the id of an item")
        from gannet.image_hasher import ImageHasher

        return ImageHasher(model=model)
