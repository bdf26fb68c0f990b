"""CIBHash: contrastive learning of codes with an information bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gannet.encoders import Encoder, Floats, center_and_normalize
from gannet.errors import GannetError, unknown_name
from gannet.hashers.images import ViewsHasher
from gannet.hashers.layer import DescentHasher
from gannet.support.threads import one_at_a_time

_CODES = ("sampled", "rounded")


@dataclass(frozen=True)
class UnitMLP(Encoder):
    """A hidden layer of rectified units and a hash layer, on centered features of unit length."""

    kind: ClassVar[str] = "unit-mlp"

    mean: Floats  # (n_features,)
    hidden_weight: Floats  # (n_features, n_hidden)
    hidden_bias: Floats  # (n_hidden,)
    weight: Floats  # (n_hidden, n_bits)
    bias: Floats  # (n_bits,)

    @property
    def n_features(self) -> int:
        return int(self.hidden_weight.shape[0])

    @property
    def n_bits(self) -> int:
        return int(self.weight.shape[1])

    def values(self, features: Floats) -> Floats:
        """Return ``max(0, normalize(features - mean) @ hidden_weight + hidden_bias) @ weight + bias``."""
        unit = center_and_normalize(features, self.mean)
        hidden = np.maximum(unit @ self.hidden_weight + self.hidden_bias, 0)
        return np.asarray(hidden @ self.weight + self.bias, np.float32)


class CIBHash(ViewsHasher, DescentHasher):
    """Contrastive learning of codes with an information bottleneck.

    The codes of two views of an image should agree and hold no more information about a view than needed [1]_. An MLP
    with one hidden layer on a frozen network gives each bit a probability ``p = sigmoid(value)``. In training, the code
    is sampled, ``b ~ Bernoulli(p)``, and the gradient in b is passed straight through to p. The loss of a batch of two
    random views of each image is the NT-Xent loss (of SimCLR) of the cosines of codes, plus ``beta`` times the KL
    divergence of a view's p from the other view's, averaged over both directions: an upper bound of the mutual
    information of a view and its code. A bit of a new image is 1 if its p is at least 1/2.

    It learns from images: `ImageHasher` makes ``n_views`` views of each by random crop, mirroring, change of colors,
    grayscale and blur, as the authors' code does (`gannet.backbones.augment.RandomView`). The paper makes new views in
    every epoch. Here views are made once, and every step draws two of the ``n_views``, so that the network runs
    ``n_views`` times per image. Views are taken from the center square of the image.

    Differences from the paper: codes are -1 and +1 when their cosines are taken (as in the authors' code), so that
    cosines are linear in the Hamming distance. The gradient of the divergence does not flow into the distribution that
    is compared with (as in the authors' code). Features are centered and scaled to unit variance over their values;
    the paper uses VGG-16's fc7 unchanged. Training takes as many steps as theirs does with 5,000 images, and uses the
    last weights (theirs: the best on labeled validation queries).

    Parameters
    ----------
    n_views : int, default=4
        Random views of each image.
    hidden : int, default=1024
        Units of the hidden layer (the paper: 1024).
    codes : {"sampled", "rounded"}, default="sampled"
        Codes in training: sampled, as in the paper, or the more probable value (the authors' code).
    temperature : float, default=0.3
        Temperature of the contrastive loss (the paper: 0.3).
    beta : float, default=0.001
        Weight of the information bottleneck (the paper: 0.001).
    learning_rate : float, default=0.001
        Learning rate of the optimizer (the paper: 0.001, with Adam).
    batch_size : int, default=64
        Images in a batch (the paper: 64).
    n_steps : int, default=5000
        Optimizer steps (the authors' code: 60 epochs of 5,000 images, 80 at 16 bits, thus 4,740 and 6,320).
    random_state : int or None, default=0
        Seed for weights, batches and samples; the views are the same for every seed.

    References
    ----------
    .. [1] Qiu, Su, Ou, Yu, Chen, "Unsupervised Hashing with Contrastive Information Bottleneck", IJCAI 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.cibhash import CIBHash
    >>> random = np.random.default_rng(0)
    >>> items = random.normal(size=(100, 1, 16))
    >>> hasher = CIBHash(n_bits=16, hidden=32, n_steps=20).fit(items + 0.1 * random.normal(size=(100, 4, 16)))
    >>> hasher.transform(items[:, 0]).shape
    (100, 2)
    """

    name = "cibhash"
    reference = "Qiu, Su, Ou, Yu, Chen, Unsupervised Hashing with Contrastive Information Bottleneck, IJCAI 2021"

    hidden: int = 1024
    codes: str = "sampled"
    temperature: float = 0.3
    beta: float = 0.001
    batch_size: int = 64
    n_steps: int = 5000

    @one_at_a_time
    def _learn(self, features: npt.NDArray[np.float32]) -> UnitMLP:
        self._check_settings()
        self.require_torch()
        import torch

        from gannet.training.contrastive import (
            bernoulli_divergence,
            nt_xent,
            rounded_codes,
            sampled_codes,
        )
        from gannet.training.loops import train_on_views
        from gannet.training.mlp import MLP

        schedule = self.schedule()
        n_features = features.shape[-1]
        mean = features.reshape(-1, n_features).mean(axis=0)
        inputs = torch.from_numpy(center_and_normalize(features, mean))
        seed = self.draw_seed()
        generator = torch.Generator().manual_seed(seed)

        def loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            values = torch.cat([first, second])
            codes = sampled_codes(values, generator) if self.codes == "sampled" else rounded_codes(values)
            information = (bernoulli_divergence(first, second) + bernoulli_divergence(second, first)) / 2
            contrast = nt_xent(codes[: len(first)], codes[len(first) :], self.temperature)
            return contrast + self.beta * information

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = MLP(n_features, self.hidden, self.n_bits)
            train_on_views(network, loss, schedule, inputs, generator)
        return UnitMLP(mean, *network.arrays(inputs))

    def _check_settings(self) -> None:
        if self.codes not in _CODES:
            raise unknown_name("kind of codes", self.codes, _CODES)
        if self.hidden < 1:
            raise GannetError(f"hidden must be at least 1, not {self.hidden}")
        if not self.temperature > 0:
            raise GannetError(f"temperature must be positive, not {self.temperature}")
        if not self.beta >= 0:
            raise GannetError(f"beta must not be negative, not {self.beta}")
