"""Unsupervised hashing with gradient attention on similarities from a diffused neighbourhood graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.layer import unit_features
from gannet.hashers.pairwise import PairwiseHasher

if TYPE_CHECKING:
    from gannet.training.losses import PairLoss
    from gannet.training.similarity import Similarity


class UHGAGraph(PairwiseHasher):
    """UHGA that takes two items for similar where random walks from them lead to the same place.

    A cosine compares two items alone. A random walk over nearest neighbours (Coifman & Lafon 2006) follows the groups
    that the items form together: each item becomes the vector of the walk's slowest modes after a few steps, and
    the share of pairs with the largest cosines of these vectors is similar (S = 1), the rest not (S = 0). Hash
    layer, squared loss and gradient attention are those of `UHGA` (Jiang et al. 2020).

    Pays where items form groups; more or fewer coordinates than groups cost little, as the walk fades out what is fine.
    Items beyond 20,000 take their vectors from their neighbours among 20,000 random ones.

    Parameters
    ----------
    n_bits: length of the codes.
    n_neighbours: nearest items that an item is joined to; at most a tenth of all are.
    n_coordinates: modes of the walk that are compared.
    n_walk_steps: steps of the walk; more fade out fine differences. With ``n_coordinates`` it is where similarities
        of images and of their mirror images agreed most.
    similar_share: share of the pairs that count as similar; about what `UHGA` has by its threshold.
    gradient_attention: True or False; None is what the method's name says (uhga-graph: yes, uhga-graph-plain: no).
    attention_hidden: width of the attention network (GAH: 100).
    attention_learning_rate: of its Adam (GAH: 0.05 to 0.1).
    attention_every: after the first quarter of the steps it learns at every n-th; it weighs at all (GAH: 1).
    optimizer: "adam", or "sgd" with momentum 0.9 (GAH).
    learning_rate: of the hash layer.
    batch_size: items on each side of a batch of pairs.
    n_steps: optimizer steps.
    random_state: seed of weights, batches and the graph's items.
    """

    name = "uhga-graph"
    uses_attention = True
    reference = (
        "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020; similarities by "
        "Coifman, Lafon, Diffusion Maps, ACHA 2006"
    )

    def __init__(
        self,
        n_bits: int = 64,
        *,
        n_neighbours: int = 50,
        n_coordinates: int = 64,
        n_walk_steps: int = 6,
        similar_share: float = 0.04,
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
        self.n_neighbours = n_neighbours
        self.n_coordinates = n_coordinates
        self.n_walk_steps = n_walk_steps
        self.similar_share = similar_share
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
        """Return 1 for the ``similar_share`` of pairs that a walk on the graph brings nearest, 0 for others."""
        import torch

        from gannet.training.diffusion import walk_similarity
        from gannet.training.similarity import check_share

        check_share(self.similar_share)
        for name in ("n_neighbours", "n_coordinates", "n_walk_steps"):
            if getattr(self, name) < 1:
                raise GannetError(f"{name} must be at least 1, not {getattr(self, name)}")
        generator = torch.Generator().manual_seed(self.draw_seed())
        return walk_similarity(
            unit_features(features, "centered-cosine"),
            self.n_neighbours,
            self.n_coordinates,
            self.n_walk_steps,
            self.similar_share,
            generator,
        )

    def pair_loss(self) -> PairLoss:
        """Return the squared error."""
        from gannet.training.losses import squared_loss

        return squared_loss


class UHGAGraphPlain(UHGAGraph):
    """UHGA on a diffused graph with the plain gradient: the same similarities, loss, seeds and steps, no attention.

    Beside `UHGAGraph` it shows what gradient attention adds.
    """

    name = "uhga-graph-plain"
    uses_attention = False
