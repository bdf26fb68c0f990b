"""The network of a backbone and a hash layer, from pixels to the values before the sign."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gannet.backbones.base import Backbone, Weights
from gannet.backbones.extractor import normalized


class HashNetwork(nn.Module):
    """A backbone with a hash layer in place of its classifier: uint8 ``(n, size, size, 3)`` to values ``(n, k)``.

    Batch normalization uses its running statistics and does not update them, in training too. A code therefore depends
    on its own image alone, the look-ahead differentiates the function that is trained, and new images are encoded by
    the function that was trained. Dropout layers are active in training.

    ``weights`` are the initial weights of the backbone. ``mean (d,)`` is subtracted from the features, which are then
    scaled to unit length; None gives the layer the features unchanged. With ``mixed_precision``, the backbone runs in
    bfloat16; the hash layer and all weights stay in 32 bits.
    """

    mean: Tensor | None

    def __init__(
        self, backbone: Backbone, weights: Weights, layer: nn.Linear, mean: Tensor | None, mixed_precision: bool = False
    ) -> None:
        super().__init__()
        self.backbone = normalized(backbone, backbone.module(weights)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layer, self.mixed_precision = layer, mixed_precision
        self.register_buffer("mean", mean)
        for module in self.backbone.modules():
            if isinstance(module, nn.Dropout):
                module.train()

    def forward(self, images: Tensor) -> Tensor:
        """Return the values before tanh, ``(n, k)``."""
        # A cache of cast weights would give the look-ahead the weights of another step.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.mixed_precision, cache_enabled=False):
            features = self.backbone(images)
        features = features.to(self.layer.weight.dtype)
        if self.mean is not None:
            features = nn.functional.normalize(features - self.mean)
        values: Tensor = self.layer(features)
        return values

    def parameter_groups(self, learning_rate: float, backbone_rate: float) -> list[dict[str, Any]]:
        """Return the parameters of layer and backbone, each with its learning rate, for an optimizer."""
        return [
            {"params": list(self.layer.parameters()), "lr": learning_rate},
            {"params": list(self.backbone.parameters()), "lr": learning_rate * backbone_rate},
        ]

    def backbone_weights(self) -> Weights:
        """Return the backbone's weights as arrays, by their names in its weight file."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.backbone.module.state_dict().items()}
