"""Unsupervised hashing with gradient attention, and the same without it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import unit_features
from gannet.hashers.pairwise import PairwiseHasher

if TYPE_CHECKING:
    from gannet.training.losses import PairLoss
    from gannet.training.schedule import Schedule
    from gannet.training.similarity import Similarity


class UHGA(PairwiseHasher):
    """Unsupervised hashing with gradient attention.

    Jiang et al. 2020: cosine distances of pre-trained features (eq. 2) become a binary similarity matrix by a
    threshold (eq. 3); a hash layer is trained so that inner products of codes follow it, with gradient
    attention (Huang et al. 2019) in place of the plain gradient. See `gannet.GradientAttention`.

    Parameters
    ----------
    n_bits: length of the codes.
    similarity: "centered-cosine" subtracts the mean feature first, which spreads the cosines of rectified
        features around 0; "cosine" takes them as they are. The paper says cosine and no more.
    similarity_threshold: pairs of a larger cosine are similar. The paper sweeps 0 to 0.9 and finds 0.2 to 0.4 good.
    dissimilar: the target of all other pairs, 0 (near orthogonal codes) or -1 (opposite codes). The paper's equations
        allow both readings.
    loss: "squared" or "likelihood" (GAH's).
    gamma: steepness of the likelihood loss (GAH: 0.15 to 0.3, by data set).
    gradient_attention: True or False; None is what the method's name says (uhga: yes, uhga-plain: no).
    attention_hidden: width of the attention network (GAH: 100).
    attention_learning_rate: of its Adam (GAH: 0.05 to 0.1).
    attention_every: after the first quarter of the steps it learns at every n-th; it weighs at all (GAH: 1).
    optimizer: "adam", or "sgd" with momentum 0.9 (GAH).
    learning_rate: of the hash layer (GAH, for SGD: 0.01, ten times its network's 0.001).
    batch_size: items on each side of a batch of pairs.
    n_steps: optimizer steps.
    tanh_growth: the scale inside tanh grows as ``sqrt(1 + tanh_growth t)`` (GAH: 0.005; 0 keeps it at 1).
    random_state: seed of weights and batches.
    """

    name = "uhga"
    uses_attention = True
    reference = "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020, 12(7), 1193"

    def __init__(
        self,
        n_bits: int = 64,
        *,
        similarity: str = "centered-cosine",
        similarity_threshold: float = 0.2,
        dissimilar: float = 0.0,
        loss: str = "squared",
        gamma: float = 0.2,
        gradient_attention: bool | None = None,
        attention_hidden: int = 16,
        attention_learning_rate: float = 0.05,
        attention_every: int = 4,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        n_steps: int = 1000,
        tanh_growth: float = 0.0,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.similarity = similarity
        self.similarity_threshold = similarity_threshold
        self.dissimilar = dissimilar
        self.loss = loss
        self.gamma = gamma
        self.gradient_attention = gradient_attention
        self.attention_hidden = attention_hidden
        self.attention_learning_rate = attention_learning_rate
        self.attention_every = attention_every
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.tanh_growth = tanh_growth
        self.random_state = random_state

    def pair_similarity(self, features: Floats) -> Similarity:
        """Return the similarity by threshold (eq. 3), with ``dissimilar`` for the other pairs."""
        from gannet.training.similarity import check_threshold, thresholded_cosine

        if self.dissimilar not in (0, -1):
            raise GannetError(f"dissimilar must be 0 or -1, not {self.dissimilar}")
        unit = unit_features(features, self.similarity)
        check_threshold(unit, self.similarity_threshold)
        return thresholded_cosine(unit, self.similarity_threshold, self.dissimilar)

    def pair_loss(self) -> PairLoss:
        """Return the loss that ``loss`` names."""
        from gannet.training.losses import likelihood_loss, pair_loss

        loss = pair_loss(self.loss)
        return partial(likelihood_loss, gamma=self.gamma) if loss is likelihood_loss else loss

    def schedule(self) -> Schedule:
        """Return the training schedule of the settings."""
        from gannet.training.schedule import Schedule

        return Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate, self.tanh_growth)


class UHGAPlain(UHGA):
    """UHGA with the plain gradient: the same similarities, loss, seeds and steps, and no attention.

    The source's Table 3 compares it with `UHGA` to show what gradient attention adds.
    """

    name = "uhga-plain"
    uses_attention = False
