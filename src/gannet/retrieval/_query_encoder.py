"""Encoding of images and texts by the model of a collection or a target."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from gannet.collection.stored_model import HoldsModel, read_model
from gannet.errors import GannetError
from gannet.retrieval.found import EncodedQuery

if TYPE_CHECKING:
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model


class QueryEncoder:
    """Encodes queries one at a time, because the network uses all cores by itself, and images take much memory."""

    def __init__(self, collection: HoldsModel) -> None:
        self._collection = collection
        self._lock = threading.Lock()

    def encode(self, image: bytes) -> EncodedQuery:
        """Return the code of an image, and the weights of its bits."""
        if self.model.backbone is None:
            raise GannetError("this collection is of vectors, not of images: search it by the id of an item")
        with self._lock:
            found = self._hasher.features([image])
            if found.skipped:
                raise GannetError(f"the image cannot be used: {found.skipped[0].reason}")
            return self._encoded(found.values)

    def encode_text(self, text: str) -> EncodedQuery:
        """Return the code of a text, and the weights of its bits."""
        with self._lock:
            return self._encoded(self._hasher.text_features([text]))

    def _encoded(self, values: npt.NDArray[Any]) -> EncodedQuery:
        return EncodedQuery(self.model.encoder.encode(values)[0], self.model.bit_weights(values)[0])

    @cached_property
    def model(self) -> Model:
        """The model."""
        return read_model(self._collection)

    @cached_property
    def _hasher(self) -> ImageHasher:
        from gannet.image_hasher import ImageHasher

        return ImageHasher(model=self.model)
