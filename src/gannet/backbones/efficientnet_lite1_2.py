"""EfficientNet-Lite1 and Lite2 together: the features of both, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from gannet.backbones._efficientnet_lite import EfficientNetLite
from gannet.backbones.efficientnet_lite1 import EfficientNetLite1
from gannet.backbones.efficientnet_lite2 import EfficientNetLite2

if TYPE_CHECKING:
    from torch import Tensor, nn

_PARTS = {"lite1": EfficientNetLite1, "lite2": EfficientNetLite2}


class EfficientNetLite1And2(EfficientNetLite):
    """EfficientNet-Lite1 and Lite2 at the same image: the features of Lite1, then those of Lite2.

    A cosine similarity of both is more accurate than that of one, at the cost of running two networks.
    """

    name = "efficientnet-lite1+2"
    n_features = EfficientNetLite1.n_features + EfficientNetLite2.n_features
    extra = "lite"
    requires = (*EfficientNetLite1.requires, EfficientNetLite2.requires[-1])

    def build(self) -> nn.Module:  # noqa: D102
        import torch
        from torch import nn

        class SideBySide(nn.ModuleDict):
            def forward(self, images: Tensor) -> Tensor:
                return torch.cat([network(images) for network in self.values()], dim=1)

        return SideBySide({name: part(self.size).build() for name, part in _PARTS.items()})

    def weights(self, source: str | Path | None = None) -> dict[str, NDArray[Any]]:  # noqa: D102
        if source is not None:
            return super().weights(source)
        published = {name: part(self.size).weights() for name, part in _PARTS.items()}
        return {f"{name}.{key}": value for name, weights in published.items() for key, value in weights.items()}
