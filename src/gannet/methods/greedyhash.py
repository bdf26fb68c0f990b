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
    """Greedy hash without labels: signs in the forward pass, straight-through gradients in the backward pass.

    The hash layer computes ``b = sign(h)`` and passes the gradient in b to h unchanged, so that training approaches the
    discrete optimum greedily [1]_. Without labels, the loss is the mean of ``(cos(b_i, b_j) - cos(x_i, x_j))^2`` over
    pairs of codes b and features x, plus ``penalty`` times the mean of ``||h| - 1|^3``, which keeps h near its sign.

    Differences from the authors' code: the layer learns on frozen features that are centered and scaled to unit length
    (theirs: frozen VGG-16 fc7). The pairs are all those between the halves of a batch (theirs: the i-th of one half
    with the i-th of the other, whose loss has the same mean). The sign of 0 is +1, as in all codes here. Adam replaces
    their SGD with momentum 0.9, learning rate 0.0001 and weight decay 0.0005, whose steps are too small for features of
    unit length.

    Rectified features have positive cosines, which only unbalanced codes can follow. Short codes lose bits to that.

    Parameters
    ----------
    penalty : float, default=0.1
        Weight of the cubic penalty (the authors' code: 0.1).
    similarity : {"cosine", "centered-cosine"}, default="cosine"
        Similarity of features: the cosine, as in the paper, or the cosine after subtracting the mean feature.
    optimizer : {"adam", "sgd"}, default="adam"
        Optimizer of the network; "sgd" has a momentum of 0.9 (the authors' code).
    batch_size : int, default=128
        Half of the items in a batch (the authors' code: 16, a batch of 32).
    n_steps : int, default=1000
        Optimizer steps (the authors' code: 60 epochs, 300 at 16 bits).

    References
    ----------
    .. [1] Su, Zhang, Han, Tian, "Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN", NeurIPS 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.greedyhash import GreedyHash
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> GreedyHash(n_bits=16, n_steps=20).fit_transform(features).shape
    (100, 2)
    """

    name = "greedyhash"
    reference = (
        "Su, Zhang, Han, Tian, Greedy Hash: Towards Fast Optimization for Accurate Hash Coding in CNN, NeurIPS 2018"
    )

    penalty: float = 0.1
    similarity: str = "cosine"

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.batch_losses import greedy_loss
        from gannet.training.loops import train_on_batches

        if not self.penalty >= 0:
            raise GannetError(f"penalty must not be negative, not {self.penalty}")
        unit = unit_features(features, self.similarity)

        def loss(values: Tensor, items: Tensor) -> Tensor:
            return greedy_loss(values, unit[items], self.penalty)

        train_on_batches(layer, loss, self.schedule(), inputs, generator)
