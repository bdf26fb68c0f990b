"""What all hashers that learn by gradient descent have in common: one linear hash layer on centred unit features."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np

from gannet.encoders import Floats, UnitLinear, center_and_normalize
from gannet.errors import MissingExtraError, unknown_name
from gannet.hashers.base import Hasher

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SIMILARITIES = ("centered-cosine", "cosine")


class LayerHasher(Hasher):
    """A linear hash layer on centred unit features; a subclass says how it is trained."""

    @abstractmethod
    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        """Train ``layer`` on ``inputs``, the centred unit vectors of ``features (N, d)`` or ``(N, n_views, d)``.

        Batches come from ``generator``; further weights may be drawn from torch's own generator, which is seeded.
        """

    def _learn(self, features: Floats) -> UnitLinear:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "train", f"learning with {self.name}") from error

        mean = mean_of_originals(features)
        inputs = torch.from_numpy(center_and_normalize(features, mean))
        seed = self.draw_seed()
        # One generator for batches, another for weights: with and without attention see the same batches.
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
