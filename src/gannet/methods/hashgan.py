"""HashGAN: codes learned from pixels, with a generator and a discriminator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gannet.encoders import Encoder, Floats
from gannet.errors import GannetError
from gannet.hashers.images import PixelHasher
from gannet.support.libraries import load
from gannet.support.threads import one_at_a_time

_BLOCK = 32
"""Images that are convolved at a time, which bounds memory."""


@dataclass(frozen=True)
class StridedConvolutions(Encoder):
    """Four 4 x 4 convolutions with stride 2 and leaky rectified units, and a hash layer, on pixels."""

    kind: ClassVar[str] = "strided-convolutions"

    weight_1: Floats  # (16 * 3, n_1): rows by place in the window, then channel
    bias_1: Floats
    weight_2: Floats  # (16 * n_1, n_2)
    bias_2: Floats
    weight_3: Floats
    bias_3: Floats
    weight_4: Floats
    bias_4: Floats
    weight: Floats  # (4 * n_4, n_bits): rows by place, then channel
    bias: Floats  # (n_bits,)

    @property
    def item_shape(self) -> tuple[int, ...]:
        return (32, 32, 3)

    @property
    def n_features(self) -> int:
        return int(np.prod(self.item_shape))

    @property
    def n_bits(self) -> int:
        return int(self.weight.shape[1])

    def values(self, features: npt.NDArray[np.uint8] | Floats) -> Floats:
        """Return the values before the sign for images ``(n, 32, 32, 3)`` of 0 to 255."""
        blocks = [self._values(features[start : start + _BLOCK]) for start in range(0, len(features), _BLOCK)]
        return np.concatenate(blocks) if blocks else np.empty((0, self.n_bits), np.float32)

    def _values(self, images: npt.NDArray[np.uint8] | Floats) -> Floats:
        maps = images.astype(np.float32) / np.float32(127.5) - 1
        for weight, bias in (
            (self.weight_1, self.bias_1),
            (self.weight_2, self.bias_2),
            (self.weight_3, self.bias_3),
            (self.weight_4, self.bias_4),
        ):
            side = maps.shape[1] // 2
            values = _windows(maps) @ weight + bias
            maps = np.maximum(values, np.float32(0.2) * values).reshape(len(maps), side, side, -1)
        return np.asarray(maps.reshape(len(maps), -1) @ self.weight + self.bias, np.float32)


def _windows(maps: Floats) -> Floats:
    """Return every second 4 x 4 window of ``maps (n, h, w, c)``, padded by 1, as rows ``(n h w / 4, 16 c)``."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (4, 4), axis=(1, 2))[:, ::2, ::2]
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 16 * maps.shape[3])


class HashGAN(PixelHasher):
    """HashGAN: an encoder that shares its layers with the discriminator of a generative adversarial network.

    The networks start from random weights, without a pre-trained network [1]_. A generator G makes images from noise
    and a random binary code b. Discriminator and encoder share all layers but the last; the encoder's last layer gives
    the sigmoid t of each bit. The discriminator learns to distinguish real images from generated ones. The generator
    matches the mean features of both in the last shared layer (Salimans et al. 2016). On real images, t should have low
    entropy per image and high entropy on average over images (each bit is 1 for half of them), should not change when
    the image is rotated and shifted, and its bits should be independent, by ``W W' = I`` for the encoder's last layer
    W. On generated images t should equal b: G and the encoder both minimize this L2 loss. All weights of losses are 1.

    It reads images of 32 x 32 pixels; `ImageHasher` resizes any image to them. Reimplementations by others report a
    precision of 0.22 to 0.30 among the 1,000 nearest on CIFAR-10, far below the published results. The
    defaults, 10 epochs on 10,000 images, reach a MAP of 0.145 at 32 bits there (seed 0; random codes have
    0.1).

    The paper does not specify the following, as far as known here. The networks follow DCGAN (the paper's follow
    Salimans et al., which are too large to train on a CPU) with ``width`` channels in the outermost layer.
    Both networks follow their losses at the same time, once per batch. Losses are means over items and bits, so that
    their weights do not depend on the length of the codes. Noise is Gaussian. Images are rotated by up to 10 degrees
    and shifted by up to a tenth of their side. A new image is encoded with the mean batch statistics of the training
    images.

    Parameters
    ----------
    width : int, default=32
        Channels of the first convolution, doubled in each of the three that follow (DCGAN: 64 or 128).
    n_noise : int, default=128
        Random inputs of the generator beside the code.
    entropy, balance, consistency, independence, collaboration : float, default=1.0
        Weights of the losses beside the adversarial loss.
    learning_rate : float, default=0.0009
        Learning rate of both Adams, with a first moment of 0.5; it falls linearly to a third (reimplementation:
        0.0009).
    batch_size : int, default=100
        Images in a batch (reimplementation: 100).
    n_epochs : int, default=10
        Passes over the images. The default takes about seven minutes of one busy core for 10,000 images; the paper
        trains on GPUs (reimplementation: 50 to 100).

    References
    ----------
    .. [1] Ghasedi Dizaji, Zheng, Sadoughi, Yang, Deng, Huang, "Unsupervised Deep Generative Adversarial Hashing
       Network", CVPR 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.hashgan import HashGAN
    >>> images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    >>> HashGAN(n_bits=8, width=4, n_epochs=1, batch_size=10).fit_transform(images).shape
    (20, 1)
    """

    name = "hashgan"
    reference = (
        "Ghasedi Dizaji, Zheng, Sadoughi, Yang, Deng, Huang, Unsupervised Deep Generative Adversarial Hashing Network, "
        "CVPR 2018"
    )
    side = 32

    width: int = 32
    n_noise: int = 128
    entropy: float = 1.0
    balance: float = 1.0
    consistency: float = 1.0
    independence: float = 1.0
    collaboration: float = 1.0
    learning_rate: float = 9e-4
    batch_size: int = 100
    n_epochs: int = 10

    @one_at_a_time
    def _learn(self, features: npt.NDArray[np.uint8]) -> StridedConvolutions:
        self._check_settings()
        torch = load("torch", "train", f"learning with {self.name}")

        from gannet.methods import _hashgan_networks as hashgan

        seed = self.draw_seed()
        weights = hashgan.Weights(self.entropy, self.balance, self.consistency, self.independence, self.collaboration)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            generator = hashgan.Generator(self.n_noise + self.n_bits, self.width)
            discriminator = hashgan.Discriminator(self.n_bits, self.width)
        trainer = hashgan.HashGANTrainer(generator, discriminator, weights, self.learning_rate, self.n_noise)
        images = torch.from_numpy(features)
        trainer.fit(images, self.n_epochs, self.batch_size, torch.Generator().manual_seed(seed))
        arrays = []
        for weight, bias in hashgan.folded_convolutions(discriminator):
            arrays += [weight.permute(2, 3, 1, 0).reshape(-1, len(weight)), bias]
        last = discriminator.encode
        places = last.weight.detach().view(self.n_bits, -1, 4).permute(2, 1, 0)
        arrays += [places.reshape(-1, self.n_bits), last.bias.detach()]
        return StridedConvolutions(*(np.ascontiguousarray(array.numpy(), np.float32) for array in arrays))

    def _check_settings(self) -> None:
        for name, least in (("width", 1), ("n_noise", 1), ("batch_size", 2), ("n_epochs", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise GannetError(f"{name} must be a whole number from {least}, not {value}")
        if not self.learning_rate > 0:
            raise GannetError(f"learning_rate must be positive, not {self.learning_rate}")
        for name in ("entropy", "balance", "consistency", "independence", "collaboration"):
            if not getattr(self, name) >= 0:
                raise GannetError(f"{name} must not be negative, not {getattr(self, name)}")
