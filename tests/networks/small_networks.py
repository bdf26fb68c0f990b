"""A distribution with two small image networks, as if another project had installed it.

Tests put this folder on ``sys.path``. Gannet then finds the networks by name, through their entry points.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gannet import Backbone
from gannet.data import decode


class Tiny(Backbone):
    """Two small convolutions on images of 16 pixels, with random weights."""

    name = "tiny"
    reference = "none"
    n_features = 24
    default_size = 16
    min_size = 8
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def build(self) -> Any:
        from torch import nn

        return nn.Sequential(nn.Conv2d(3, self.n_features, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def weights_file(self) -> Path:
        raise AssertionError("weights() is overridden")

    def weights(self, source: str | Path | None = None) -> dict[str, Any]:
        random = np.random.default_rng(0)
        return {
            "0.weight": random.standard_normal((self.n_features, 3, 4, 4)).astype(np.float32),
            "0.bias": random.standard_normal(self.n_features).astype(np.float32),
        }


class PixelNetwork:
    """The pixels of an image, reduced to 8 by 8, as its features."""

    name = "pixel-network"
    size = 8

    def encode(self, images: list[Image.Image]) -> np.ndarray:
        return np.array([decode(np.asarray(image), self.size).ravel() for image in images])
