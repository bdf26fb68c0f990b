"""Unsupervised hashing with gradient attention from random views of each image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.hashers.images import ViewsHasher
from gannet.hashers.layer import mean_of_originals
from gannet.hashers.pairwise import PairwiseHasher

if TYPE_CHECKING:
    from gannet.training.similarity import Similarity

_GRAPH = {"n_neighbors": 50, "n_components": 64, "n_walk_steps": 6}  # the defaults of UHGAGraph
_HIDDEN = 512


class UHGAViews(ViewsHasher, PairwiseHasher):
    """UHGA that learns which images are similar, and their codes, from random views of each image.

    Much of a pre-trained network's features does not help to distinguish the given images. Before pairs are
    compared, a small network on these features therefore learns a space in which views of one image lie together and
    views of different images apart [1]_ (temperature and views are those of `CIBHash`, the hidden layer has half its
    width). In that space, the similarities are those of `UHGAGraph`. The hash layer sees a random view of each image in
    every step, so that codes follow the similarities for crops, mirror images and changed colors as well. Loss,
    gradient attention and the hash layer on the features themselves are those of `UHGA`. A new image is encoded from
    its unchanged view.

    It learns from images: `ImageHasher` makes ``n_views`` views of each, once, so that the network runs ``n_views``
    times per image. The first view is the unchanged image.

    Parameters
    ----------
    n_views : int, default=5
        Views of each image, including the unchanged image.
    n_contrast_steps : int, default=2000
        Optimizer steps of the network that learns the space, each on two views of ``batch_size`` images; 0 compares the
        features themselves.
    temperature : float, default=0.3
        Temperature of its contrastive loss (`CIBHash`: 0.3).
    similar_share : float, default=0.08
        Share of the pairs that are similar: of 2, 4, 6 and 8%, the best on Fashion-MNIST.
    learning_rate : float, default=0.001
        Learning rate of the hash layer and of the network that learns the space.
    n_steps : int, default=2000
        Optimizer steps of the hash layer; twice as many as for `UHGAGraph`, as there are more views to see.
    random_state : int or None, default=0
        Seed for weights, batches and the items of the graph; the views are the same for every seed.

    References
    ----------
    .. [1] Chen, Kornblith, Norouzi, Hinton, "A Simple Framework for Contrastive Learning of Visual Representations",
       ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.uhga_views import UHGAViews
    >>> random = np.random.default_rng(0)
    >>> items = random.normal(size=(100, 1, 16))
    >>> hasher = UHGAViews(n_bits=16, n_steps=20, n_contrast_steps=20)
    >>> hasher.fit(items + 0.1 * random.normal(size=(100, 5, 16))).transform(items[:, 0]).shape
    (100, 2)
    """

    name = "uhga-views"
    uses_attention = True
    original_first = True
    reference = (
        "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020; similarities in a "
        "space by Chen, Kornblith, Norouzi, Hinton, A Simple Framework for Contrastive Learning, ICML 2020"
    )

    n_views: int = 5
    n_contrast_steps: int = 2000
    temperature: float = 0.3
    similar_share: float = 0.08
    n_steps: int = 2000

    def pair_similarity(self, features: Floats) -> Similarity:
        import torch

        from gannet.encoders import center_and_normalize
        from gannet.training.contrastive import contrastive_space
        from gannet.training.diffusion import walk_similarity
        from gannet.training.similarity import check_share

        if not self.temperature > 0:
            raise GannetError(f"temperature must be positive, not {self.temperature}")
        check_share(self.similar_share)
        views = torch.from_numpy(center_and_normalize(features, mean_of_originals(features)))
        seed = self.draw_seed()
        generator = torch.Generator().manual_seed(seed)
        space = views[:, 0]
        if self.n_contrast_steps:
            schedule = replace(self.schedule(), n_steps=self.n_contrast_steps)
            # Seeded separately, so that training with attention and training without it use the same space.
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                space = contrastive_space(views, _HIDDEN, self.temperature, schedule, generator)
        return walk_similarity(space, **_GRAPH, similar_share=self.similar_share, generator=generator)


class UHGAViewsPlain(UHGAViews):
    """`UHGAViews` with the plain gradient; similarities, views, loss, seeds and steps are equal.

    The comparison with `UHGAViews` shows what gradient attention adds.
    """

    name = "uhga-views-plain"
    uses_attention = False
