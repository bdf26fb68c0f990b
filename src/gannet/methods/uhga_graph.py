"""Unsupervised hashing with gradient attention on similarities from a diffused graph of neighbors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import unit_features
from gannet.hashers.pairwise import PairwiseHasher

if TYPE_CHECKING:
    from gannet.training.similarity import Similarity


class UHGAGraph(PairwiseHasher):
    """UHGA with similarities from random walks on a graph of nearest neighbors.

    A cosine compares two items alone. A random walk over nearest neighbors [1]_ follows the groups that the items form
    together. Each item is represented by the slowest modes of the walk after a few steps. The ``similar_share`` of the
    pairs whose vectors have the largest cosines are similar (S = 1), the rest are not (S = 0). The hash layer, the
    squared loss and gradient attention are those of `UHGA`.

    It improves codes if the items form groups. The number of components need not match the number of groups, because
    the walk fades out fine differences. Items beyond 20,000 get their vectors from their neighbors among 20,000 random
    ones.

    Parameters
    ----------
    n_neighbors : int, default=50
        Nearest items that an item is connected to, at most a tenth of all.
    n_components : int, default=64
        Modes of the walk that are compared.
    n_walk_steps : int, default=6
        Steps of the walk; more steps fade out fine differences. With the default ``n_components``, similarities of
        images and of their mirror images agreed most at this number.
    similar_share : float, default=0.04
        Share of the pairs that are similar; about the share that `UHGA` has by its threshold.
    random_state : int or None, default=0
        Seed for weights, batches and the items of the graph.

    References
    ----------
    .. [1] Coifman, Lafon, "Diffusion Maps", Applied and Computational Harmonic Analysis 21(1), 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.uhga_graph import UHGAGraph
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> UHGAGraph(n_bits=16, n_steps=20).fit_transform(features).shape
    (100, 2)
    """

    name = "uhga-graph"
    uses_attention = True
    sample_size = 20_000  # as many as the graph has items
    reference = (
        "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020; similarities by "
        "Coifman, Lafon, Diffusion Maps, ACHA 2006"
    )

    n_neighbors: int = 50
    n_components: int = 64
    n_walk_steps: int = 6
    similar_share: float = 0.04

    def pair_similarity(self, features: Floats) -> Similarity:
        import torch

        from gannet.training.diffusion import walk_similarity
        from gannet.training.similarity import check_share

        check_share(self.similar_share)
        for name in ("n_neighbors", "n_components", "n_walk_steps"):
            if getattr(self, name) < 1:
                raise GannetError(f"{name} must be at least 1, not {getattr(self, name)}")
        generator = torch.Generator().manual_seed(self.draw_seed())
        return walk_similarity(
            unit_features(features, "centered-cosine"),
            self.n_neighbors,
            self.n_components,
            self.n_walk_steps,
            self.similar_share,
            generator,
        )


class UHGAGraphPlain(UHGAGraph):
    """`UHGAGraph` with the plain gradient; similarities, loss, seeds and steps are equal.

    The comparison with `UHGAGraph` shows what gradient attention adds.
    """

    name = "uhga-graph-plain"
    uses_attention = False
