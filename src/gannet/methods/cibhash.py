"""CIBHash: contrastive learning of codes with an information bottleneck."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from gannet.encoders import Encoder, Floats, center_and_normalize
from gannet.errors import GannetError, MissingExtraError, unknown_name
from gannet.hashers.images import ViewsHasher

_CODES = ("sampled", "rounded")


@dataclass(frozen=True)
class UnitMLP(Encoder):
    """A hidden layer of rectified units and a hash layer, on centred features of unit length."""

    kind: ClassVar[str] = "unit-mlp"

    mean: Floats  # (n_features,)
    hidden_weight: Floats  # (n_features, n_hidden)
    hidden_bias: Floats  # (n_hidden,)
    weight: Floats  # (n_hidden, n_bits)
    bias: Floats  # (n_bits,)

    @property
    def n_features(self) -> int:
        """Length of the vectors it takes."""
        return int(self.hidden_weight.shape[0])

    @property
    def n_bits(self) -> int:
        """Length of the codes it makes."""
        return int(self.weight.shape[1])

    def values(self, features: Floats) -> Floats:
        """Return ``max(0, normalize(features - mean) @ hidden_weight + hidden_bias) @ weight + bias``."""
        unit = center_and_normalize(features, self.mean)
        hidden = np.maximum(unit @ self.hidden_weight + self.hidden_bias, 0)
        return np.asarray(hidden @ self.weight + self.bias, np.float32)


class CIBHash(ViewsHasher):
    """Codes of two views of an image that agree, and tell no more about a view than they need.

    Qiu, Su, Ou, Yu, Chen 2021: an MLP with one hidden layer on a frozen network gives each bit a probability
    ``p = sigmoid(value)``. In training the code is drawn, ``b ~ Bernoulli(p)``, and the gradient in b goes straight
    through to p. The loss of a batch of two random views of each image is the NT-Xent loss of the cosines of codes
    (that of SimCLR), plus ``beta`` times the KL divergence of a view's p from the other view's, both ways, halved: an
    upper bound of the mutual information of a view and its code. A new image's bit is 1 where p is at least 1/2.

    It learns from images: `ImageHasher` makes ``n_views`` views of each, by random crop, mirroring, change of colours,
    grey and blur as in the authors' code (`gannet.backbones.augment.RandomView`). The paper makes new views in every
    epoch; here two of ``n_views`` views, which are made once, are drawn in every step, so that the network runs
    ``n_views`` times an image. Views come from the image's centre square.

    Chosen here: codes are -1 and +1 where their cosines are taken (as in the authors' code), which are then linear in
    the Hamming distance; the divergence is that from a distribution whose gradient is not followed (authors' code);
    features are centred and scaled to unit variance over their values, in place of VGG-16's fc7 as it is; training
    takes as many steps as theirs do with 5,000 images, and the last weights (theirs: the best on labelled validation
    queries).

    Parameters
    ----------
    n_bits: length of the codes.
    n_views: random views of each image.
    hidden: units of the hidden layer (the paper: 1024).
    codes: "sampled" as in the paper, or "rounded" to the more probable value (the authors' code).
    temperature: of the contrastive loss (the paper: 0.3).
    beta: weight of the information bottleneck (the paper: 0.001).
    optimizer: "adam" (the paper), or "sgd" with momentum 0.9.
    learning_rate: of the MLP (the paper: 0.001).
    batch_size: images in a batch (the paper: 64).
    n_steps: optimizer steps (the authors' code: 60 epochs of 5,000 images, 80 at 16 bits, thus 4,740 and 6,320).
    random_state: seed of weights, batches and samples; the views are the same for every seed.
    """

    name = "cibhash"
    reference = "Qiu, Su, Ou, Yu, Chen, Unsupervised Hashing with Contrastive Information Bottleneck, IJCAI 2021"

    def __init__(
        self,
        n_bits: int = 64,
        *,
        n_views: int = 4,
        hidden: int = 1024,
        codes: str = "sampled",
        temperature: float = 0.3,
        beta: float = 0.001,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 64,
        n_steps: int = 5000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.n_views = n_views
        self.hidden = hidden
        self.codes = codes
        self.temperature = temperature
        self.beta = beta
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.random_state = random_state

    def _learn(self, features: npt.NDArray[np.float32]) -> UnitMLP:
        self._check_settings()
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "train", f"learning with {self.name}") from error

        from gannet.training.contrastive import (
            bernoulli_divergence,
            nt_xent,
            rounded_codes,
            sampled_codes,
            views_network,
        )
        from gannet.training.loops import train_on_views
        from gannet.training.schedule import Schedule

        schedule = Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate)
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
            network = views_network(n_features, self.hidden, self.n_bits)
            train_on_views(network, loss, schedule, inputs, generator)
        arrays = [np.ascontiguousarray(parameter.detach().numpy().T) for parameter in network.parameters()]
        # The encoder's first layer scales its inputs too.
        return UnitMLP(mean, arrays[0] * np.float32(n_features**0.5), *arrays[1:])

    def _check_settings(self) -> None:
        if self.codes not in _CODES:
            raise unknown_name("kind of codes", self.codes, _CODES)
        if self.hidden < 1:
            raise GannetError(f"hidden must be at least 1, not {self.hidden}")
        if not self.temperature > 0:
            raise GannetError(f"temperature must be positive, not {self.temperature}")
        if not self.beta >= 0:
            raise GannetError(f"beta must not be negative, not {self.beta}")
