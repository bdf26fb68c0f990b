from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gannet.backbones.base import Backbone


class Tiny(Backbone):
    """One small convolution: 5 values from 16-pixel images, fast to trace."""

    name = "tiny"
    reference = "none"
    n_features = 5
    default_size = 16
    min_size = 8
    mean = (0.1, 0.2, 0.3)
    std = (0.5, 0.4, 0.3)

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def weights_file(self) -> Path:
        raise AssertionError("the tests give the weights")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Keep every test out of the user's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GANNET_CACHE", str(folder))
    return folder


@pytest.fixture
def tiny():
    return Tiny()


@pytest.fixture
def tiny_weights():
    random = np.random.default_rng(0)
    return {
        "0.weight": random.standard_normal((5, 3, 3, 3)).astype(np.float32),
        "0.bias": random.standard_normal(5).astype(np.float32),
    }


@pytest.fixture
def images():
    return np.random.default_rng(1).integers(0, 256, (21, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def eager():
    """The plain torch features of uint8 images, written out independently of the runtimes."""

    def compute(backbone, module, images):
        pixels = torch.tensor(images).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (backbone.mean, backbone.std))
        with torch.inference_mode():
            return module((pixels - mean) / std).numpy()

    return compute
