"""SDC: similarities of codes that are spread as a calibration distribution is."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv

from gannet.encoders import Floats, center_and_normalize
from gannet.errors import GannetError
from gannet.hashers.layer import DescentHasher, unit_features
from gannet.methods.cibhash import UnitMLP
from gannet.support.threads import one_at_a_time


class SDC(DescentHasher):
    """Similarity distribution calibration.

    Cosines of features fill a part of [-1, 1] only, and codes that repeat them separate similar pairs badly from
    others. SDC keeps the order of the pairs of a batch and replaces their cosines by quantiles of a wide distribution
    [1]_: the pair with the i-th lowest cosine of N should have codes of cosine ``2 q - 1``, where q is the
    ``(i - 1/2) / N`` quantile of Beta(``concentration``, ``concentration``). The loss is the mean absolute difference
    from that, plus ``quantization`` times the mean of ``1 - cos(v, sign v)`` for values v. The network has one hidden
    layer, and batch normalization of its values balances the bits.

    Differences from the authors' code: features are centered and scaled to unit variance over their values (theirs:
    frozen features, unchanged). The pairs are all those between the halves of a batch (theirs: the i-th of one half
    with the i-th of the other). The hidden layer is rectified (theirs: GELU), so that codes need NumPy alone. The batch
    normalization of a new item uses the mean and variance of all training items (theirs: running means). Adam takes
    fewer and larger steps, at a constant rate and without weight decay (theirs: 0.0001, a tenth of it after 80 of 100
    epochs, weight decay 0.00001).

    Parameters
    ----------
    hidden : int, default=1024
        Units of the hidden layer (the authors' code: the number of features).
    concentration : float, default=5.0
        Both parameters of the beta distribution; less is wider (the authors' code: 5).
    quantization : float, default=1.0
        Weight of the distance of values from their signs (the authors' code: 1).
    similarity : {"cosine", "centered-cosine"}, default="cosine"
        Similarity of features: the cosine, as in the paper, or the cosine after subtracting the mean feature.
    learning_rate : float, default=0.001
        Learning rate of the optimizer (the authors' code: 0.0001 at first).
    batch_size : int, default=32
        Half of the items in a batch (the authors' code: 32, a batch of 64).
    n_steps : int, default=2000
        Optimizer steps (the authors' code: 100 epochs, thus 7,800 for 5,000 images).

    References
    ----------
    .. [1] Ng, Zhu, Hoe, Chan, Zhang, Song, Xiang, "Unsupervised Hashing with Similarity Distribution Calibration",
       BMVC 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import SDC
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> SDC(n_bits=16, hidden=32, n_steps=20).fit_transform(features).shape
    (100, 2)
    """

    name = "sdc"
    reference = (
        "Ng, Zhu, Hoe, Chan, Zhang, Song, Xiang, Unsupervised Hashing with Similarity Distribution Calibration, "
        "BMVC 2023"
    )

    hidden: int = 1024
    concentration: float = 5.0
    quantization: float = 1.0
    similarity: str = "cosine"
    batch_size: int = 32
    n_steps: int = 2000

    @one_at_a_time
    def _learn(self, features: Floats) -> UnitMLP:
        self._check_settings()
        self.require_torch()
        import torch

        from gannet.training.batch_losses import angle_loss, calibration_loss
        from gannet.training.loops import train_on_batches
        from gannet.training.mlp import MLP

        schedule = self.schedule()
        unit = unit_features(features, self.similarity)
        mean = features.mean(axis=0)
        inputs = torch.from_numpy(center_and_normalize(features, mean))
        quantiles = torch.from_numpy(self._quantiles(min(schedule.batch_size, len(features) // 2) ** 2))
        seed = self.draw_seed()

        def loss(values: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
            return calibration_loss(values, unit[items], quantiles) + self.quantization * angle_loss(values)

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = MLP(features.shape[1], self.hidden, self.n_bits, normalized=True)
            train_on_batches(network, loss, schedule, inputs, torch.Generator().manual_seed(seed))
        return UnitMLP(mean, *network.arrays(inputs))

    def _quantiles(self, n: int) -> Floats:
        """Return the calibrated cosines ``(n,)`` of as many pairs, in ascending order."""
        levels = (np.arange(n) + 0.5) / n
        return np.asarray(2 * betaincinv(self.concentration, self.concentration, levels) - 1, np.float32)

    def _check_settings(self) -> None:
        if self.hidden < 1:
            raise GannetError(f"hidden must be at least 1, not {self.hidden}")
        if not self.concentration > 0:
            raise GannetError(f"concentration must be positive, not {self.concentration}")
        if not self.quantization >= 0:
            raise GannetError(f"quantization must not be negative, not {self.quantization}")
