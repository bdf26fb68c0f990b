"""Semantic structure-based unsupervised deep hashing, plain and with gradient attention."""

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
    """Semantic structure: pairs that are clearly near or clearly far, and nothing between.

    Yang et al. 2018: the cosine distances of pairs of pre-trained features follow two half-Gaussians that meet at a
    mode m, one of deviation sigma_l to its left and one of sigma_r to its right. A pair nearer than
    ``d_l = m - alpha sigma_l`` is similar (S = 1), one farther than ``d_r = m + beta sigma_r`` dissimilar (S = -1),
    and the rest unknown (S = 0). The hash layer ``u = tanh(W x)`` learns to minimise the mean of
    ``|S_ij| (u_i . u_j / k - S_ij)^2``. The method learns from pairs, so gradient attention (Huang et al. 2019) can
    train it: `SSDHWithAttention`. ``half_gaussians_`` tells the mode and both deviations.

    Chosen here: the hash layer learns on frozen features, centred and of unit length (the authors fine-tune VGG-16
    with it); distances are those of the features as they are, like theirs; the half-Gaussians are fitted to all pairs
    of ``n_sampled`` random items (theirs: all training pairs); the histogram that gives the mode spans the
    distances that occur (theirs: 0 to 1), and the mode is the middle of its highest bin (theirs: its lower edge); a
    batch holds pairs between two disjoint sets of items (theirs: all pairs of one set of 24); Adam has its usual
    epsilon (theirs: 1).

    With alpha = beta = 2 only some 5% of pairs teach anything, and where the data have more than two groups, no codes
    put every dissimilar pair at -1. On frozen features both cost accuracy: expect less than from `UHGA`, which has a
    target for every pair.

    Parameters
    ----------
    n_bits: length of the codes.
    alpha: deviations below the mode where similar pairs begin (the authors' code: 2).
    beta: deviations above the mode where dissimilar pairs begin (the authors' code: 2).
    n_sampled: items whose pairs the half-Gaussians are fitted to.
    gradient_attention: True or False; None is what the method's name says (ssdh: no, ssdh+ga: yes).
    attention_hidden: width of the attention network (GAH: 100).
    attention_learning_rate: of its Adam (GAH: 0.05 to 0.1).
    attention_every: after the first quarter of the steps it learns at every n-th; it weighs at all (GAH: 1).
    optimizer: "adam" (the authors' code), or "sgd" with momentum 0.9.
    learning_rate: of the hash layer (the authors' code: 0.001).
    batch_size: items on each side of a batch of pairs (the authors' code: 24).
    n_steps: optimizer steps (the authors' code: 10 epochs).
    random_state: seed of weights, batches and sampled pairs.
    """

    name = "ssdh"
    uses_attention = False
    reference = "Yang, Deng, Liu, Liu, Tao, Semantic Structure-based Unsupervised Deep Hashing, IJCAI 2018"

    def __init__(
        self,
        n_bits: int = 64,
        *,
        alpha: float = 2.0,
        beta: float = 2.0,
        n_sampled: int = 2000,
        gradient_attention: bool | None = None,
        attention_hidden: int = 16,
        attention_learning_rate: float = 0.05,
        attention_every: int = 4,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        n_steps: int = 1000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.alpha = alpha
        self.beta = beta
        self.n_sampled = n_sampled
        self.gradient_attention = gradient_attention
        self.attention_hidden = attention_hidden
        self.attention_learning_rate = attention_learning_rate
        self.attention_every = attention_every
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_steps = n_steps
        self.random_state = random_state

    def pair_similarity(self, features: Floats) -> Similarity:
        """Return the semantic structure of the two fitted half-Gaussians, which it keeps as ``half_gaussians_``."""
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
        """Return the squared error of the pairs that the structure decides."""
        from gannet.methods._semantic_structure import structure_loss

        return structure_loss


class SSDHWithAttention(SSDH):
    """SSDH trained by gradient attention: the same similarities, loss, seeds and steps.

    Jiang et al. 2020 compare it with `SSDH` in their Table 3 to show that gradient attention helps other pairwise
    methods too.
    """

    name = "ssdh+ga"
    uses_attention = True
