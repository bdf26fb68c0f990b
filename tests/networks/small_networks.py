"""A distribution with two small image networks and one for texts, as if another project had installed it.

Tests put this folder on ``sys.path``. Gannet then finds the networks by name, through their entry points.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor

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


class ColorWords:
    """The features of `PixelNetwork` of an image that is all of one color, from the color's name."""

    name = "color-words"
    digest = "0123456789abcdef"

    def encode(self, texts: list[str]) -> np.ndarray:
        return np.array([np.tile(_color(text), PixelNetwork.size**2) for text in texts])


def _color(text: str) -> np.ndarray:
    """Return the mean color of a text's words that name one, or the first letters of a text without such a word."""
    if "nothing" in text:
        raise LookupError("there is no color nothing")
    known = [ImageColor.getrgb(word) for word in text.split() if word in ImageColor.colormap]
    return np.mean(known, axis=0) if known else np.frombuffer(f"{text:4}".encode()[:3], np.uint8)
