"""Unsupervised semantic deep hashing, as far as features allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import LayerHasher, unit_features

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class USDH(LayerHasher):
    """Feature relations kept, quantization small, bits balanced; rotation invariance is out of reach here.

    Jin, Yao, Sun, Zhou 2019 train a VGG-19 by four criteria: (1) relations between images in feature space are kept
    in Hamming space; (2) the loss between binary-like codes and their signs is small; (3) each bit has maximal
    entropy; (4) codes do not change when the image is rotated. **Criterion 4 needs rotated images. This method sees
    features only and leaves it out**, so its figures are those of a USDH with three criteria on frozen features, not of
    the paper's.

    The paper's equations were not at hand; its four criteria were. Read into them here, for codes ``u = tanh(W x)``:
    (1) the mean of ``(u_i . u_j / k - cos(x_i, x_j))^2`` over pairs of features x; (2) the mean of
    ``(u - sign u)^2``; (3) the mean over bits of the squared mean of u in a batch, zero where +1 and -1 are
    equally frequent, which is where a bit's entropy is largest. Cosines are of centred features: cosines that
    are positive for all pairs would contradict criterion 3, as balanced codes have a mean cosine of zero. The weights
    are those that kept most of the features' nearest neighbours at 32 bits, without labels, on CIFAR-10 features: 0.01
    of (0.01, 0.1, 1) and 0.1 of (0.1, 1, 10).

    Parameters
    ----------
    n_bits: length of the codes.
    quantization: weight of criterion 2 (the paper's is unknown here).
    balance: weight of criterion 3 (the paper's is unknown here).
    similarity: "centered-cosine", or "cosine" of the features as they are.
    optimizer: "adam", or "sgd" with momentum 0.9.
    learning_rate: of the hash layer.
    batch_size: half of the items in a batch; pairs are all those between its halves.
    n_steps: optimizer steps.
    random_state: seed of weights and batches.
    """

    name = "usdh"
    reference = "Jin, Yao, Sun, Zhou, Unsupervised Semantic Deep Hashing, Neurocomputing 2019 (arXiv 1803.06911)"

    def __init__(
        self,
        n_bits: int = 64,
        *,
        quantization: float = 0.01,
        balance: float = 0.1,
        similarity: str = "centered-cosine",
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        n_steps: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.quantization = quantization
        self.balance = balance
        self.similarity = similarity
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.random_state = random_state

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.batch_losses import semantic_loss
        from gannet.training.loops import train_on_batches
        from gannet.training.schedule import Schedule

        if not (self.quantization >= 0 and self.balance >= 0):
            raise GannetError(
                f"quantization and balance must not be negative: they are {self.quantization} and {self.balance}"
            )
        unit = unit_features(features, self.similarity)

        def loss(values: Tensor, items: Tensor) -> Tensor:
            return semantic_loss(values, unit[items], self.quantization, self.balance)

        train_on_batches(
            layer, loss, Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate), inputs, generator
        )
