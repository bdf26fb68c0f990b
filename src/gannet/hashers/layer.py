"""Base classes of methods that learn by gradient descent: their schedule, and a linear hash layer."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from gannet.encoders import Floats, UnitLinear, center_and_normalize
from gannet.errors import unknown_name
from gannet.hashers.base import Hasher
from gannet.support.libraries import load
from gannet.support.threads import one_at_a_time

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gannet.training.schedule import Schedule

SIMILARITIES = ("centered-cosine", "cosine")


class DescentHasher(Hasher):
    """Base class of methods that learn by gradient descent, with torch.

    Parameters
    ----------
    optimizer : {"adam", "sgd"}, default="adam"
        Optimizer of the network; "sgd" has a momentum of 0.9.
    learning_rate : float, default=0.001
        Learning rate of the optimizer.
    batch_size : int, default=128
        Half of the items in a batch.
    n_steps : int, default=1000
        Optimizer steps.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 128
    n_steps: int = 1000

    def schedule(self) -> Schedule:
        """Return the training schedule; raises a `GannetError` if a setting is out of range.

        Returns
        -------
        Schedule
            Number of steps, batch size, optimizer and learning rate.
        """
        from gannet.training.schedule import Schedule

        return Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate)

    def require_torch(self) -> None:
        """Import torch; raise a `GannetError` if that is impossible."""
        load("torch", "train", f"learning with {self.name}")


class LayerHasher(DescentHasher):
    """Base class of methods with a linear hash layer on centered features of unit length.

    A subclass implements ``_train``.
    """

    @abstractmethod
    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        """Train ``layer`` on ``inputs``, the centered unit vectors of ``features (N, d)`` or ``(N, n_views, d)``.

        Batches come from ``generator``. Other random numbers come from torch's own generator, which is seeded.
        """

    @one_at_a_time
    def _learn(self, features: Floats) -> UnitLinear:
        self.require_torch()
        import torch

        mean = mean_of_originals(features)
        inputs = torch.from_numpy(center_and_normalize(features, mean))
        seed = self.draw_seed()
        # Batches and weights have separate generators, so that training with attention and training without it use the
        # same batches.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = torch.nn.Linear(features.shape[-1], self.n_bits)
            self._train(layer, inputs, features, torch.Generator().manual_seed(seed))
        return layer_encoder(layer, mean)


def mean_of_originals(features: Floats) -> Floats:
    """Return the mean ``(d,)`` of ``features (N, d)``, or of the first views of ``(N, n_views, d)``."""
    originals = features if features.ndim == 2 else features[:, 0]
    return np.asarray(originals.mean(axis=0), np.float32)


def layer_encoder(layer: torch.nn.Linear, mean: Floats) -> UnitLinear:
    """Return an encoder with a copy of the weights of ``layer``, for features less their ``mean (d,)``."""
    return UnitLinear(mean, _array(layer.weight.T), _array(layer.bias))


def unit_features(features: Floats, similarity: str) -> Tensor:
    """Return vectors ``(N, d)`` of unit length whose inner products are the named similarity of ``features (N, d)``.

    "centered-cosine" subtracts the mean feature first; "cosine" does not.
    """
    import torch

    if similarity not in SIMILARITIES:
        raise unknown_name("similarity", similarity, SIMILARITIES)
    origin = features.mean(axis=0) if similarity == "centered-cosine" else np.zeros_like(features[0])
    return torch.from_numpy(center_and_normalize(features, origin))


def _array(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().numpy(), np.float32, order="C")
