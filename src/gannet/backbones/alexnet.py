"""AlexNet, the network of the UHGA paper, in the layout of torchvision, whose weight file it loads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gannet.backbones.base import Backbone
from gannet.errors import GannetError
from gannet.support.cache import cache_dir
from gannet.support.progress import progress

if TYPE_CHECKING:
    from torch import nn

URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"
SHA256 = "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"
WEIGHTS_VARIABLE = "GANNET_ALEXNET_WEIGHTS"


class AlexNet(Backbone):
    """AlexNet, one-column variant: 4096 features, the second fully connected layer (FC-7) after its ReLU.

    The weights come from the file named by ``$GANNET_ALEXNET_WEIGHTS``. If the variable is not set, they are downloaded
    once (233 MB).
    """

    name = "alexnet"
    reference = "Krizhevsky, Sutskever & Hinton, NIPS 2012; one-column variant, arXiv 1404.5997"
    n_features = 4096
    default_size = 224
    min_size = 63
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def build(self) -> nn.Module:  # noqa: D102
        from collections import OrderedDict

        from torch import nn

        def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
            padding = 2 if kernel > 3 else 1
            return [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)]

        def pool() -> nn.Module:
            return nn.MaxPool2d(kernel_size=3, stride=2)

        features = nn.Sequential(
            *convolution(3, 64, 11, 4), pool(),
            *convolution(64, 192, 5), pool(),
            *convolution(192, 384, 3),
            *convolution(384, 256, 3),
            *convolution(256, 256, 3), pool(),
        )  # fmt: skip
        classifier = nn.Sequential(
            nn.Dropout(), nn.Linear(256 * 6 * 6, 4096), nn.ReLU(inplace=True),
            nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(inplace=True),
        )  # fmt: skip
        layers = {
            "features": features,
            "avgpool": nn.AdaptiveAvgPool2d((6, 6)),
            "flatten": nn.Flatten(),
            "classifier": classifier,
        }
        return nn.Sequential(OrderedDict(layers))

    def weights_file(self) -> Path:  # noqa: D102
        given = os.environ.get(WEIGHTS_VARIABLE)
        if given:
            return Path(os.path.expanduser(given))  # noqa: PTH111 - without a home folder, Path's version fails
        import pooch

        folder = cache_dir() / "downloads"
        pooch.get_logger().setLevel("WARNING")
        try:
            with progress(None, "AlexNet's weights", "B") as bar:
                downloader = pooch.HTTPDownloader(progressbar=bar)
                return Path(pooch.retrieve(URL, f"sha256:{SHA256}", Path(URL).name, folder, downloader=downloader))
        # Whatever fails (the connection, the disk, the checksum), the remedy is the same.
        except Exception as error:
            raise GannetError(
                f"the weights of AlexNet could not be downloaded ({type(error).__name__});"
                f" fetch {URL} elsewhere and set {WEIGHTS_VARIABLE} to the file"
            ) from None
