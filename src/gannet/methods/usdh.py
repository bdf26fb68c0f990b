"""Unsupervised semantic deep hashing, on features."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import LayerHasher, unit_features

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class USDH(LayerHasher):
    """Unsupervised semantic deep hashing with three of its four criteria.

    The paper [1]_ trains a VGG-19 by four criteria: (1) relations between images in feature space are kept in Hamming
    space; (2) the loss between binary-like codes and their signs is small; (3) each bit has maximal entropy; (4) codes
    do not change when the image is rotated. **Criterion 4 needs rotated images. This method sees only features and
    leaves it out**, so that its results are those of a USDH with three criteria on frozen features, not the paper's.

    The equations of the paper were not available for this implementation, only its four criteria. They are read as
    follows, for codes ``u = tanh(W x)``: (1) the mean of ``(u_i . u_j / k - cos(x_i, x_j))^2`` over pairs of features
    x; (2) the mean of ``(u - sign u)^2``; (3) the mean over bits of the squared mean of u in a batch, which is zero if
    +1 and -1 are equally frequent, that is, if the entropy of a bit is largest. Cosines are those of centered features:
    cosines that are positive for all pairs would contradict criterion 3, as balanced codes have a mean cosine of zero.
    The weights are those that kept most of the features' nearest neighbors at 32 bits on CIFAR-10 features, without
    labels: 0.01 of (0.01, 0.1, 1) and 0.1 of (0.1, 1, 10).

    Parameters
    ----------
    quantization : float, default=0.01
        Weight of criterion 2 (the paper's is not known here).
    balance : float, default=0.1
        Weight of criterion 3 (the paper's is not known here).
    similarity : {"centered-cosine", "cosine"}, default="centered-cosine"
        Similarity of features: the cosine after subtracting the mean feature, or without that.

    References
    ----------
    .. [1] Jin, Yao, Sun, Zhou, "Unsupervised Semantic Deep Hashing", Neurocomputing 2019 (arXiv 1803.06911).

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.usdh import USDH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> USDH(n_bits=16, n_steps=20).fit_transform(features).shape
    (100, 2)
    """

    name = "usdh"
    reference = "Jin, Yao, Sun, Zhou, Unsupervised Semantic Deep Hashing, Neurocomputing 2019 (arXiv 1803.06911)"

    quantization: float = 0.01
    balance: float = 0.1
    similarity: str = "centered-cosine"

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.batch_losses import semantic_loss
        from gannet.training.loops import train_on_batches

        if not (self.quantization >= 0 and self.balance >= 0):
            raise GannetError(
                f"quantization and balance must not be negative: they are {self.quantization} and {self.balance}"
            )
        unit = unit_features(features, self.similarity)

        def loss(values: Tensor, items: Tensor) -> Tensor:
            return semantic_loss(values, unit[items], self.quantization, self.balance)

        train_on_batches(layer, loss, self.schedule(), inputs, generator)
