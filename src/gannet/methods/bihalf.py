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
    """Bi-half coding: every bit is +1 for half of each batch and -1 for the other half.

    A bit carries most information if both values are equally likely. The bi-half layer therefore turns the values U of
    a batch into codes B by optimal transport to that distribution (eq. 7 of [1]_): for each bit, +1 for the upper half
    of the batch and -1 for the lower half. The backward pass is ``dL/dU = dL/dB + gamma (U - B) / (N k)``. The loss is
    the mean of ``(cos(b_i, b_j) - cos(x_i, x_j))^2`` over pairs of codes b and features x. The code of a new item
    consists of the signs of its values.

    Differences from the authors' code: the layer learns on frozen features that are centered and scaled to unit length
    (theirs: frozen VGG-16 fc7). The pairs are all those between the halves of a batch (theirs: the i-th of one half
    with the i-th of the other, whose loss has the same mean). The larger half of an odd batch is -1, like theirs. Adam
    replaces their SGD with momentum 0.9, learning rate 0.0001 and weight decay 0.0005, whose steps are too small for
    features of unit length.

    Parameters
    ----------
    gamma : float, default=6.0
        Weight of the pull of values towards their codes (the authors' code: 6 for images and for videos).
    similarity : {"cosine", "centered-cosine"}, default="cosine"
        Similarity of features: the cosine, as in the paper, or the cosine after subtracting the mean feature.
    optimizer : {"adam", "sgd"}, default="adam"
        Optimizer of the network; "sgd" has a momentum of 0.9 (the authors' code).
    batch_size : int, default=128
        Half of the items in a batch (the authors' code: 16, a batch of 32).
    n_steps : int, default=1000
        Optimizer steps (the authors' code: 300 epochs).

    References
    ----------
    .. [1] Li, van Gemert, "Deep Unsupervised Image Hashing by Maximizing Bit Entropy", AAAI 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.bihalf import BiHalf
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> BiHalf(n_bits=16, n_steps=20).fit_transform(features).shape
    (100, 2)
    """

    name = "bihalf"
    reference = "Li, van Gemert, Deep Unsupervised Image Hashing by Maximizing Bit Entropy, AAAI 2021"

    gamma: float = 6.0
    similarity: str = "cosine"

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.batch_losses import bi_half_loss
        from gannet.training.loops import train_on_batches

        if not self.gamma >= 0:
            raise GannetError(f"gamma must not be negative, not {self.gamma}")
        unit = unit_features(features, self.similarity)

        def loss(values: Tensor, items: Tensor) -> Tensor:
            return bi_half_loss(values, unit[items], self.gamma)

        train_on_batches(layer, loss, self.schedule(), inputs, generator)
