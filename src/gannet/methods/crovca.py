"""CroVCA: codes of two views that predict each other, and fill all directions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gannet.encoders import center_and_normalize
from gannet.errors import GannetError
from gannet.hashers.images import ViewsHasher
from gannet.hashers.layer import DescentHasher
from gannet.methods.cibhash import UnitMLP
from gannet.support.threads import one_at_a_time


class CroVCA(ViewsHasher, DescentHasher):
    """Cross-view code alignment with coding-rate maximization.

    The values of one view of an image are log-odds that predict the bits of another view: the loss is their binary
    cross entropy, in both directions, minus ``rate_weight`` times the coding rate of the values of each view,
    ``log det(I + k / (n epsilon) Z^T Z) / 2`` for n values Z of unit length, which grows as the codes of a batch fill
    more directions and so prevents a collapse [1]_. The rate is scaled by ``(n + k) / (n k)`` (as in the authors'
    code). The network has one hidden layer, and batch normalization of its values balances the bits.

    It learns from images, from the random views that `CIBHash` sees; the authors' code also solarizes. The views are
    made once, and every step draws two of the ``n_views``.

    Differences from the authors' code: features are centered and scaled to unit variance over their values (theirs:
    unchanged features of large vision transformers). The batch normalization of a new image uses the mean and variance
    of all training views (theirs: running means). Adam has a constant learning rate and no weight decay (theirs: AdamW
    with weight decay 0.01 and a cosine schedule from 0.001).

    Parameters
    ----------
    n_views : int, default=4
        Random views of each image (the authors' code: two new ones in every epoch).
    hidden : int, default=1024
        Units of the hidden layer (the authors' code: the number of features, 512 or 768).
    rate_weight : float, default=0.1
        Weight of the coding rate (the authors' code: 0.1).
    epsilon : float, default=0.05
        Squared distortion at which the rate is taken, above 0 (the authors' code: 0.05).
    learning_rate : float, default=0.001
        Learning rate of the optimizer (the authors' code: 0.001 at first).
    batch_size : int, default=256
        Images in a batch (the authors' code: 256).
    n_steps : int, default=200
        Optimizer steps (the authors' code: 5 epochs, thus 195 for 10,000 images).
    random_state : int or None, default=0
        Seed for weights and batches; the views are the same for every seed.

    References
    ----------
    .. [1] Moummad, Zaher, Goëau, Joly, "Image Hashing via Cross-View Code Alignment in the Age of Foundation Models",
       CVPR Workshops 2026, arXiv:2510.27584.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import CroVCA
    >>> random = np.random.default_rng(0)
    >>> items = random.normal(size=(100, 1, 16))
    >>> hasher = CroVCA(n_bits=16, hidden=32, n_steps=20).fit(items + 0.1 * random.normal(size=(100, 4, 16)))
    >>> hasher.transform(items[:, 0]).shape
    (100, 2)
    """

    name = "crovca"
    reference = (
        "Moummad, Zaher, Goëau, Joly, Image Hashing via Cross-View Code Alignment in the Age of Foundation Models, "
        "CVPR Workshops 2026"
    )

    hidden: int = 1024
    rate_weight: float = 0.1
    epsilon: float = 0.05
    batch_size: int = 256
    n_steps: int = 200

    @one_at_a_time
    def _learn(self, features: npt.NDArray[np.float32]) -> UnitMLP:
        self._check_settings()
        self.require_torch()
        import torch

        from gannet.training.contrastive import code_alignment, coding_rate
        from gannet.training.loops import train_on_views
        from gannet.training.mlp import MLP

        schedule = self.schedule()
        n_features = features.shape[-1]
        mean = features.reshape(-1, n_features).mean(axis=0)
        inputs = torch.from_numpy(center_and_normalize(features, mean))
        seed = self.draw_seed()

        def loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            rate = (coding_rate(first, self.epsilon) + coding_rate(second, self.epsilon)) / 2
            return code_alignment(first, second) - self.rate_weight * rate

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = MLP(n_features, self.hidden, self.n_bits, normalized=True)
            train_on_views(network, loss, schedule, inputs, torch.Generator().manual_seed(seed))
        return UnitMLP(mean, *network.arrays(inputs.flatten(0, 1)))

    def _check_settings(self) -> None:
        if self.hidden < 1:
            raise GannetError(f"hidden must be at least 1, not {self.hidden}")
        if not self.rate_weight >= 0:
            raise GannetError(f"rate_weight must not be negative, not {self.rate_weight}")
        if not self.epsilon > 0:
            raise GannetError(f"epsilon must be positive, not {self.epsilon}")
