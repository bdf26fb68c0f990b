"""What all hashers that learn from pairs have in common: a hash layer, trained with or without gradient attention."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from sklearn.utils import check_random_state

from gannet.encoders import Floats, UnitLinear, center_and_normalize
from gannet.errors import GannetError, MissingExtraError
from gannet.hashers.base import Hasher

if TYPE_CHECKING:
    from torch import Tensor

    from gannet.training.loop import Schedule, Similarity
    from gannet.training.losses import PairLoss


class PairwiseHasher(Hasher):
    """A linear hash layer on centred unit features, trained on batches of pairs.

    A subclass gives a similarity, a loss and a schedule; the plain gradient and gradient attention then both work.
    """

    uses_attention: ClassVar[bool]
    """Whether the method, as its name says, trains with gradient attention."""

    gradient_attention: bool | None
    attention_hidden: int
    attention_learning_rate: float
    random_state: int | None

    @abstractmethod
    def _similarity(self, features: Floats) -> Similarity:
        """Return the similarity function of training features ``(N, d)``."""

    @abstractmethod
    def _loss(self) -> PairLoss:
        """Return the loss, elementwise in the pairs."""

    @abstractmethod
    def _schedule(self) -> Schedule:
        """Return the training schedule."""

    def _learn(self, features: Floats) -> UnitLinear:
        try:
            import torch
        except ImportError as error:
            raise MissingExtraError("torch", "train", f"learning with {self.name}") from error
        from gannet.training.gradient_attention import GradientAttention
        from gannet.training.loop import PairwiseTrainer

        mean = features.mean(axis=0)
        inputs = torch.from_numpy(center_and_normalize(features, mean))
        seed = int(check_random_state(self.random_state).randint(2**31))
        # One generator for batches, another for weights: with and without attention see the same batches.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            layer = torch.nn.Linear(features.shape[1], self.n_bits)
            attention = GradientAttention(self.attention_hidden) if self._attends() else None
        trainer = PairwiseTrainer(layer, self._loss(), self._schedule(), attention, self.attention_learning_rate)
        trainer.fit(inputs, self._similarity(features), torch.Generator().manual_seed(seed))
        return UnitLinear(mean, _array(layer.weight.T), _array(layer.bias))

    def _attends(self) -> bool:
        if self.gradient_attention is None:
            return self.uses_attention
        if not isinstance(self.gradient_attention, bool):
            raise GannetError(f"gradient_attention must be true or false, not {self.gradient_attention!r}")
        return self.gradient_attention


def _array(tensor: Tensor) -> Floats:
    return np.ascontiguousarray(tensor.detach().numpy(), np.float32)
