"""Unsupervised hashing with gradient attention, on graph similarities, that sees random views of each image."""

from __future__ import annotations

from gannet.encoders import Floats, UnitLinear
from gannet.hashers.images import ViewsHasher
from gannet.hashers.uhga_graph import UHGAGraph


class UHGAViews(ViewsHasher, UHGAGraph):
    """`UHGAGraph` whose hash layer sees another random view of an image in every step.

    Which images are similar is decided once, as in `UHGAGraph`, by the features of the images as they are. The layer
    then learns codes that follow it for crops, mirror images and changed colours as well, so that it cannot lean on
    what only this picture of a thing has. Loss and gradient attention are those of `UHGA` (Jiang et al. 2020), the
    views those of `CIBHash` (Qiu et al. 2021).

    It learns from images: `ImageHasher` makes ``n_views`` views of each, once, so that the network runs ``n_views``
    times an image; the first is the image as it is. New images are encoded as by `UHGAGraph`.

    Parameters
    ----------
    n_bits: length of the codes.
    n_views: views of each image, the image as it is among them.
    n_neighbours, n_coordinates, n_walk_steps, similar_share: the graph and its similarities, as in `UHGAGraph`.
    gradient_attention: True or False; None is what the method's name says (uhga-views: yes, uhga-views-plain: no).
    attention_hidden: width of the attention network (GAH: 100).
    attention_learning_rate: of its Adam (GAH: 0.05 to 0.1).
    attention_every: after the first quarter of the steps it learns at every n-th; it weighs at all (GAH: 1).
    optimizer: "adam", or "sgd" with momentum 0.9 (GAH).
    learning_rate: of the hash layer.
    batch_size: items on each side of a batch of pairs.
    n_steps: optimizer steps; twice as many as of `UHGAGraph`, as views are more to see.
    random_state: seed of weights, batches and the graph's items; the views are the same for every seed.
    """

    name = "uhga-views"
    uses_attention = True
    original_first = True
    reference = (
        "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020; views by Qiu, Su, "
        "Ou, Yu, Chen, Unsupervised Hashing with Contrastive Information Bottleneck, IJCAI 2021"
    )

    def __init__(
        self,
        n_bits: int = 64,
        *,
        n_views: int = 5,
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
        n_steps: int = 2000,
        random_state: int | None = 0,
    ) -> None:
        self.n_bits = n_bits
        self.n_views = n_views
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

    def _learn(self, features: Floats) -> UnitLinear:
        return self._learn_from(features[:, 0], features)


class UHGAViewsPlain(UHGAViews):
    """`UHGAViews` with the plain gradient: the same similarities, views, loss, seeds and steps, no attention.

    Beside `UHGAViews` it shows what gradient attention adds.
    """

    name = "uhga-views-plain"
    uses_attention = False
