"""Greedy hash, the unsupervised variant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import LayerHasher, unit_features

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class GreedyHash(LayerHasher):
    """Signs in the forward pass, straight-through gradients in the backward pass.

    Su, Zhang, Han, Tian 2018: the hash coding layer gives ``b = sign(h)`` forwards and passes the gradient in b to h
    unchanged, so that the discrete optimum is approached greedily. Without labels the loss is the mean of
    ``(cos(b_i, b_j) - cos(x_i, x_j))^2`` over pairs of codes b and features x, plus ``penalty`` times the mean of
    ``||h| - 1|^3``, which keeps h near its sign.

    Chosen here: the layer learns on frozen features, centred and of unit length (the authors' code: frozen VGG-16
    fc7); pairs are all those between the halves of a batch (theirs: the i-th of one half with the i-th of the other,
    whose loss has the same mean); the sign of 0 is +1, as in all codes here; Adam takes the place of their SGD with
    momentum 0.9, learning rate 0.0001 and weight decay 0.0005, whose steps are too small for unit features.

    Rectified features have positive cosines, which only unbalanced codes can follow: short codes lose bits to that.

    Parameters
    ----------
    n_bits: length of the codes.
    penalty: weight of the cubic penalty (the authors' code: 0.1).
    similarity: "cosine" as in the paper, or "centered-cosine" with the mean feature subtracted first.
    optimizer: "adam", or "sgd" with momentum 0.9 (the authors' code).
    learning_rate: of the hash layer.
    batch_size: half of the items in a batch (the authors' code: 16, a batch of 32).
    n_steps: optimizer steps (the authors' code: 60 epochs, 300 at 16 bits).
    random_state: seed of weights and batches.
    """

    name = "greedyhash"
    reference = (
        "Su, Zhang, Han, Tian, Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN, NeurIPS 2018"
    )

    def __init__(
        self,
        n_bits: int = 64,
        *,
        penalty: float = 0.1,
        similarity: str = "cosine",
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        n_steps: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.penalty = penalty
        self.similarity = similarity
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.random_state = random_state

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.batch_losses import greedy_loss
        from gannet.training.loops import train_on_batches
        from gannet.training.schedule import Schedule

        if not self.penalty >= 0:
            raise GannetError(f"penalty must not be negative, not {self.penalty}")
        unit = unit_features(features, self.similarity)

        def loss(values: Tensor, items: Tensor) -> Tensor:
            return greedy_loss(values, unit[items], self.penalty)

        train_on_batches(
            layer, loss, Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate), inputs, generator
        )
