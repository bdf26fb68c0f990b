"""What all hashers that learn by gradient descent have in common: one linear hash layer on centred unit features."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import check_random_state

from gannet.encoders import Floats, UnitLinear, center_and_normalize
from gannet.errors import MissingExtraError, unknown_name
from gannet.hashers.base import Hasher

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIMILARITIES = ("centered-cosine", "cosine")


class LayerHasher(Hasher):
    """A linear hash layer on centred unit features; a subclass says how it is trained."""

    random_state: int | None

    @abstractmethod
    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        """Train ``layer`` on ``inputs (N, d)``, the centred unit vectors of ``features (N, d)``, or of views of them.

        Batches come from ``generator``; further weights may be drawn from torch's own generator, which is seeded.
        """

    def _learn(self, features: Floats) -> UnitLinear:
        return self._learn_from(features, features)

    def _learn_from(self, features: Floats, shown: Floats) -> UnitLinear:
        """Return the layer learned from ``features (N, d)``.

        Parameters: ``shown``, what the layer sees of the items: the same, or features ``(N, n_views, d)`` of views.
        """
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "train", f"learning with {self.name}") from error

        mean = features.mean(axis=0)
        inputs = torch.from_numpy(center_and_normalize(shown.reshape(-1, shown.shape[-1]), mean).reshape(shown.shape))
        seed = int(check_random_state(self.random_state).randint(2**31))
        # One generator for batches, another for weights: with and without attention see the same batches.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = torch.nn.Linear(features.shape[1], self.n_bits)
            self._train(layer, inputs, features, torch.Generator().manual_seed(seed))
        return layer_encoder(layer, mean)


def layer_encoder(layer: torch.nn.Linear, mean: Floats) -> UnitLinear:
    """Return a copy of what ``layer`` computes of features ``(N, d)`` less their ``mean (d,)``, at unit length."""
    return UnitLinear(mean, _array(layer.weight.T), _array(layer.bias))


def unit_features(features: Floats, similarity: str) -> Tensor:
    """Return vectors ``(N, d)`` of unit length whose inner products are the named similarity of ``features (N, d)``.

    "centered-cosine" subtracts the mean feature first; "cosine" takes them as they are.
    """
    import torch

    if similarity not in SIMILARITIES:
        raise unknown_name("similarity", similarity, SIMILARITIES)
    origin = features.mean(axis=0) if similarity == "centered-cosine" else np.zeros_like(features[0])
    return torch.from_numpy(center_and_normalize(features, origin))


def _array(tensor: Tensor) -> Floats:
    return np.array(tensor.detach().numpy(), np.float32, order="C")
