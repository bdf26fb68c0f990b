"""Semantic structure-based unsupervised deep hashing, with the plain gradient and with gradient attention."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import unit_features
from gannet.hashers.pairwise import PairwiseHasher

if TYPE_CHECKING:
    from gannet.training.losses import PairLoss
    from gannet.training.similarity import Similarity


class SSDH(PairwiseHasher):
    """Semantic structure-based unsupervised deep hashing: learn from pairs that are clearly near or clearly far.

    The cosine distances of pairs of pre-trained features are modeled by two half-Gaussians that meet at the mode m,
    with the deviations sigma_l on its left and sigma_r on its right [1]_. A pair closer than ``d_l = m - alpha
    sigma_l`` is similar (S = 1), a pair farther than ``d_r = m + beta sigma_r`` is dissimilar (S = -1), and the rest is
    unknown (S = 0). The hash layer ``u = tanh(W x)`` minimizes the mean of ``|S_ij| (u_i . u_j / k - S_ij)^2``. The
    method learns from pairs, so it can be trained with gradient attention too: `SSDHWithAttention`.

    Differences from the authors' code: the hash layer learns on frozen features that are centered and scaled to unit
    length (theirs: VGG-16 is fine-tuned with it). Distances are those of the unchanged features, like theirs. The
    half-Gaussians are fitted to all pairs of ``n_sampled`` random items (theirs: all training pairs). The histogram
    that gives the mode spans the distances that occur (theirs: 0 to 1), and the mode is the middle of its highest bin
    (theirs: its lower edge). A batch holds the pairs between two disjoint sets of items (theirs: all pairs of one set
    of 24). Adam has its usual epsilon (theirs: 1).

    With alpha = beta = 2, only about 5% of the pairs contribute to the loss, and if the data have more than two groups,
    no codes put every dissimilar pair at -1. On frozen features both cost accuracy: expect less than from `UHGA`, which
    has a target for every pair.

    Parameters
    ----------
    alpha : float, default=2.0
        Deviations below the mode at which similar pairs begin (the authors' code: 2).
    beta : float, default=2.0
        Deviations above the mode at which dissimilar pairs begin (the authors' code: 2).
    n_sampled : int, default=2000
        Items to whose pairs the half-Gaussians are fitted.
    learning_rate : float, default=0.001
        Learning rate of the optimizer (the authors' code: 0.001, with Adam).
    batch_size : int, default=128
        Items on each side of a batch of pairs (the authors' code: 24).
    n_steps : int, default=1000
        Optimizer steps (the authors' code: 10 epochs).
    random_state : int or None, default=0
        Seed for weights, batches and sampled pairs.

    Attributes
    ----------
    half_gaussians_ : HalfGaussians
        Mode and both deviations of the cosine distances.

    References
    ----------
    .. [1] Yang, Deng, Liu, Liu, Tao, "Semantic Structure-based Unsupervised Deep Hashing", IJCAI 2018.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.ssdh import SSDH
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> SSDH(n_bits=16, n_steps=20, batch_size=32).fit_transform(features).shape
    (100, 2)
    """

    name = "ssdh"
    uses_attention = False
    reference = "Yang, Deng, Liu, Liu, Tao, Semantic Structure-based Unsupervised Deep Hashing, IJCAI 2018"

    alpha: float = 2.0
    beta: float = 2.0
    n_sampled: int = 2000

    def pair_similarity(self, features: Floats) -> Similarity:
        import torch

        from gannet.methods._semantic_structure import fit_half_gaussians, pair_distances, semantic_structure

        if self.n_sampled < 2:
            raise GannetError(f"n_sampled must be at least 2, not {self.n_sampled}")
        if not (self.alpha >= 0 and self.beta >= 0):
            raise GannetError(f"alpha and beta must not be negative: they are {self.alpha} and {self.beta}")
        unit = unit_features(features, "cosine")
        seed = self.draw_seed()
        distances = pair_distances(unit, self.n_sampled, torch.Generator().manual_seed(seed))
        self.half_gaussians_ = fit_half_gaussians(distances)
        return semantic_structure(unit, *self.half_gaussians_.thresholds(self.alpha, self.beta))

    def pair_loss(self) -> PairLoss:
        from gannet.methods._semantic_structure import structure_loss

        return structure_loss


class SSDHWithAttention(SSDH):
    """`SSDH` trained with gradient attention; similarities, loss, seeds and steps are equal.

    Table 3 of Jiang et al., "Unsupervised Hashing with Gradient Attention", Symmetry 2020, compares it with `SSDH` to
    show that gradient attention helps other pairwise methods too.
    """

    name = "ssdh+ga"
    uses_attention = True
