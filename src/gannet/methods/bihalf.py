"""Bi-half coding: deep unsupervised hashing by maximal bit entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import LayerHasher, unit_features

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class BiHalf(LayerHasher):
    """Codes whose every bit is half +1 and half -1 in each batch.

    Li & van Gemert 2021: a bit carries most information when both values are equally likely, so the bi-half layer
    turns the values U of a batch into codes B by optimal transport to that distribution (eq. 7): for each bit, +1 for
    the upper half of the batch and -1 for the lower. Backwards, ``dL/dU = dL/dB + gamma (U - B) / (N k)``. The loss is
    the mean of ``(cos(b_i, b_j) - cos(x_i, x_j))^2`` over pairs of codes b and features x. A new item's code is
    the sign of its values.

    Chosen here: the layer learns on frozen features, centred and of unit length (the authors' code: frozen VGG-16
    fc7); pairs are all those between the halves of a batch (theirs: the i-th of one half with the i-th of the other,
    whose loss has the same mean); of an odd batch the larger half is -1, like theirs; Adam takes the place of their
    SGD with momentum 0.9, learning rate 0.0001 and weight decay 0.0005, whose steps are too small for unit features.

    Parameters
    ----------
    n_bits: length of the codes.
    gamma: weight of the pull of values towards their codes (the authors' code: 6 for images and for videos).
    similarity: "cosine" as in the paper, or "centered-cosine" with the mean feature subtracted first.
    optimizer: "adam", or "sgd" with momentum 0.9 (the authors' code).
    learning_rate: of the hash layer.
    batch_size: half of the items in a batch (the authors' code: 16, a batch of 32).
    n_steps: optimizer steps (the authors' code: 300 epochs).
    random_state: seed of weights and batches.
    """

    name = "bihalf"
    reference = "Li, van Gemert, Deep Unsupervised Image Hashing by Maximizing Bit Entropy, AAAI 2021"

    def __init__(
        self,
        n_bits: int = 64,
        *,
        gamma: float = 6.0,
        similarity: str = "cosine",
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        n_steps: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.gamma = gamma
        self.similarity = similarity
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.random_state = random_state

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.batch_losses import bi_half_loss
        from gannet.training.loops import train_on_batches
        from gannet.training.schedule import Schedule

        if not self.gamma >= 0:
            raise GannetError(f"gamma must not be negative, not {self.gamma}")
        unit = unit_features(features, self.similarity)

        def loss(values: Tensor, items: Tensor) -> Tensor:
            return bi_half_loss(values, unit[items], self.gamma)

        train_on_batches(
            layer, loss, Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate), inputs, generator
        )
