"""Unsupervised hashing with gradient attention from random views of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.images import ViewsHasher
from gannet.hashers.layer import mean_of_originals
from gannet.hashers.pairwise import PairwiseHasher

if TYPE_CHECKING:
    from gannet.training.losses import PairLoss
    from gannet.training.similarity import Similarity

_GRAPH = {"n_neighbours": 50, "n_coordinates": 64, "n_walk_steps": 6}  # the defaults of `UHGAGraph`
_HIDDEN = 512


class UHGAViews(ViewsHasher, PairwiseHasher):
    """UHGA that learns which images are similar, and the codes too, from random views of each.

    A pre-trained network's features hold much that is of no use to tell these images apart. Before pairs are
    compared, a small network on them learns a space in which views of one image lie together and those of different
    images apart (Chen et al., SimCLR, ICML 2020; temperature and views of `CIBHash`, half its hidden layer). In that
    space the similarities are those of `UHGAGraph`: random walks over nearest neighbours that lead to the same place.
    The hash layer then sees a random view of each image in every step, so that codes follow the similarities for
    crops, mirror images and changed colours as well. Loss, gradient attention and the layer, on the features
    themselves, are those of `UHGA` (Jiang et al. 2020). What is encoded later is one view, the image as it is.

    It learns from images: `ImageHasher` makes ``n_views`` views of each, once, so that the network runs ``n_views``
    times an image; the first is the image as it is.

    Parameters
    ----------
    n_bits: length of the codes.
    n_views: views of each image, the image as it is among them.
    n_contrast_steps: optimizer steps of the space's network, each on two views of ``batch_size`` images; 0 compares the
        features as they are.
    temperature: of its loss (CIBHash: 0.3).
    similar_share: share of the pairs that count as similar: of 2, 4, 6 and 8%, the best on Fashion-MNIST.
    gradient_attention: True or False; None is what the method's name says (uhga-views: yes, uhga-views-plain: no).
    attention_hidden: width of the attention network (GAH: 100).
    attention_learning_rate: of its Adam (GAH: 0.05 to 0.1).
    attention_every: after the first quarter of the steps it learns at every n-th; it weighs at all (GAH: 1).
    optimizer: "adam", or "sgd" with momentum 0.9 (GAH).
    learning_rate: of the hash layer and of the space's network.
    batch_size: items on each side of a batch of pairs.
    n_steps: optimizer steps of the hash layer; twice as many as of `UHGAGraph`, as views are more to see.
    random_state: seed of weights, batches and the graph's items; the views are the same for every seed.
    """

    name = "uhga-views"
    uses_attention = True
    original_first = True
    reference = (
        "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020; similarities in a "
        "space by Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning, ICML 2020"
    )

    def __init__(
        self,
        n_bits: int = 64,
        *,
        n_views: int = 5,
        n_contrast_steps: int = 2000,
        temperature: float = 0.3,
        similar_share: float = 0.08,
        gradient_attention: bool | None = None,
        attention_hidden: int = 16,
        attention_learning_rate: float = 0.05,
        attention_every: int = 4,
        optimizer: str = "adam",
        learning_rate: float = 1e-3,
        batch_size: int = 128,
        n_steps: int = 2000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.n_views = n_views
        self.n_contrast_steps = n_contrast_steps
        self.temperature = temperature
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
        """Return 1 for the ``similar_share`` of pairs that a walk brings nearest, 0 for others.

        Parameters: ``features (N, n_views, d)`` of views, the image as it is first.
        """
        import torch

        from gannet.encoders import center_and_normalize
        from gannet.training.contrastive import contrastive_space
        from gannet.training.diffusion import walk_similarity
        from gannet.training.schedule import Schedule
        from gannet.training.similarity import check_share

        if not self.temperature > 0:
            raise GannetError(f"temperature must be positive, not {self.temperature}")
        check_share(self.similar_share)
        views = torch.from_numpy(center_and_normalize(features, mean_of_originals(features)))
        seed = self.draw_seed()
        generator = torch.Generator().manual_seed(seed)
        space = views[:, 0]
        if self.n_contrast_steps:
            schedule = Schedule(self.n_contrast_steps, self.batch_size, self.optimizer, self.learning_rate)
            # Seeded apart from what was drawn before, so that with and without attention there is one space.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                space = contrastive_space(views, _HIDDEN, self.temperature, schedule, generator)
        return walk_similarity(space, **_GRAPH, similar_share=self.similar_share, generator=generator)

    def pair_loss(self) -> PairLoss:
        """Return the squared error."""
        from gannet.training.losses import squared_loss

        return squared_loss


class UHGAViewsPlain(UHGAViews):
    """`UHGAViews` with the plain gradient: the same similarities, views, loss, seeds and steps, no attention.

    Beside `UHGAViews` it shows what gradient attention adds.
    """

    name = "uhga-views-plain"
    uses_attention = False
