"""A summary of a collection: its size, its model and the statistics of its codes."""

from __future__ import annotations

from typing import TypedDict

from gannet.code_statistics import CodeStatistics, code_statistics
from gannet.collection.collection import Collection
from gannet.collection.stored_model import read_model


class ModelSummary(TypedDict):
    """The model of a collection: its SHA-256, its method, its backbone and the side of the input images in pixels."""

    id: str
    method: str
    backbone: str | None
    image_size: int | None


class Summary(TypedDict):
    """A collection; ``features`` is the length of the kept features, or None; times are in ISO 8601, UTC."""

    items: int
    bits: int
    features: int | None
    model: ModelSummary
    bytes: int
    created: str
    changed: str
    codes: CodeStatistics


def summarize(collection: Collection) -> Summary:
    """Return a summary of a collection and the statistics of all its codes."""
    with collection.snapshot():
        model = read_model(collection)
        info = collection.info()
        codes = collection.codes()
    return Summary(
        items=info["items"],
        bits=info["bits"],
        features=collection.n_features,
        model=ModelSummary(
            id=info["model_id"], method=model.method, backbone=model.backbone, image_size=model.image_size
        ),
        bytes=info["bytes"],
        created=info["created"],
        changed=info["changed"],
        codes=code_statistics(codes, collection.n_bits),
    )
