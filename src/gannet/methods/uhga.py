"""Unsupervised hashing with gradient attention, and with the plain gradient."""

from __future__ import annotations

from dataclasses import replace
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

    The cosine distances of pre-trained features (eq. 2 of [1]_) become a binary similarity matrix by a threshold
    (eq. 3). A hash layer is trained so that inner products of codes follow it, with gradient attention [2]_ in place of
    the plain gradient. See `GradientAttention`.

    Parameters
    ----------
    similarity : {"centered-cosine", "cosine"}, default="centered-cosine"
        "centered-cosine" subtracts the mean feature first, which spreads the cosines of rectified features around 0;
        "cosine" does not. The paper specifies only the cosine.
    similarity_threshold : float, default=0.2
        Pairs with a larger cosine are similar. The paper tries 0 to 0.9 and finds 0.2 to 0.4 good.
    dissimilar : {0.0, -1.0}, default=0.0
        Target of all other pairs: 0 (near orthogonal codes) or -1 (opposite codes). The paper's equations allow both
        readings.
    loss : {"squared", "likelihood"}, default="squared"
        Pairwise loss; "likelihood" is the loss of Huang et al.
    gamma : float, default=0.2
        Steepness of the likelihood loss (Huang et al.: 0.15 to 0.3, depending on the data set).
    tanh_growth : float, default=0.0
        The scale inside tanh is ``sqrt(1 + tanh_growth * t)`` at step t (Huang et al.: 0.005).
    optimizer : {"adam", "sgd"}, default="adam"
        Optimizer of the network; "sgd" has a momentum of 0.9 (Huang et al.).
    learning_rate : float, default=0.001
        Learning rate of the hash layer (Huang et al., with SGD: 0.01, ten times the 0.001 of its network).

    References
    ----------
    .. [1] Jiang, Wang, Cheng, Du, Li, "Unsupervised Hashing with Gradient Attention", Symmetry 2020, 12(7), 1193.
    .. [2] Huang, Chen, Pan, "Accelerate Learning of Deep Hashing With Gradient Attention", ICCV 2019.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import UHGA
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> UHGA(n_bits=16, n_steps=20).fit_transform(features).shape
    (100, 2)
    """

    name = "uhga"
    uses_attention = True
    reference = "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020, 12(7), 1193"

    similarity: str = "centered-cosine"
    similarity_threshold: float = 0.2
    dissimilar: float = 0.0
    loss: str = "squared"
    gamma: float = 0.2
    tanh_growth: float = 0.0

    def pair_similarity(self, features: Floats) -> Similarity:
        from gannet.training.similarity import check_threshold, thresholded_cosine

        if self.dissimilar not in (0, -1):
            raise GannetError(f"dissimilar must be 0 or -1, not {self.dissimilar}")
        unit = unit_features(features, self.similarity)
        check_threshold(unit, self.similarity_threshold)
        return thresholded_cosine(unit, self.similarity_threshold, self.dissimilar)

    def pair_loss(self) -> PairLoss:
        from gannet.training.losses import likelihood_loss, pair_loss

        loss = pair_loss(self.loss)
        return partial(likelihood_loss, gamma=self.gamma) if loss is likelihood_loss else loss

    def schedule(self) -> Schedule:
        return replace(super().schedule(), tanh_growth=self.tanh_growth)


class UHGAPlain(UHGA):
    """`UHGA` with the plain gradient; similarities, loss, seeds and steps are equal.

    Table 3 of Jiang et al. 2020 compares it with `UHGA` to show what gradient attention adds.
    """

    name = "uhga-plain"
    uses_attention = False
