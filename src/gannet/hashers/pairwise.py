"""What all hashers that learn from pairs have in common: training with or without gradient attention."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from gannet.encoders import Encoder, Floats
from gannet.errors import GannetError
from gannet.hashers.layer import LayerHasher, layer_encoder, mean_of_originals

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from gannet.training.gradient_attention import GradientAttention
    from gannet.training.losses import PairLoss
    from gannet.training.observe import ObservedStep
    from gannet.training.schedule import Schedule
    from gannet.training.similarity import Similarity
    from gannet.training.trainer import PairwiseTrainer


class PairwiseHasher(LayerHasher):
    """A linear hash layer on centred unit features, trained on batches of pairs.

    A subclass gives a similarity, a loss and a schedule; the plain gradient and gradient attention then both work.
    """

    uses_attention: ClassVar[bool]
    """Whether the method, as its name says, trains with gradient attention."""

    observer: Callable[[ObservedStep, Callable[[], Encoder]], None] | None = None
    """Sees the training of `fit`: a step, and a function that copies the encoder as it is after it. Not a setting, so a
    clone has none."""

    gradient_attention: bool | None
    attention_hidden: int
    attention_learning_rate: float
    attention_every: int
    optimizer: str
    learning_rate: float
    batch_size: int
    n_steps: int

    @abstractmethod
    def pair_similarity(self, features: Floats) -> Similarity:
        """Return the similarity function of training features ``(N, d)``, or ``(N, n_views, d)`` of views."""

    @abstractmethod
    def pair_loss(self) -> PairLoss:
        """Return the loss, elementwise in the pairs."""

    def schedule(self) -> Schedule:
        """Return the training schedule, which a subclass with other settings overrides."""
        from gannet.training.schedule import Schedule

        return Schedule(self.n_steps, self.batch_size, self.optimizer, self.learning_rate)

    def trainer(self, network: torch.nn.Module, **changes: Any) -> PairwiseTrainer:
        """Return a trainer of ``network`` with the method's loss, schedule and attention.

        Parameters
        ----------
        network : torch.nn.Module
            Maps inputs to values ``(n, n_bits)``.
        **changes
            Arguments of `PairwiseTrainer` in place of those that follow from the settings.
        """
        from gannet.training.trainer import PairwiseTrainer

        attention, loss, schedule = self.attention(), self.pair_loss(), self.schedule()
        settings: dict[str, Any] = {
            "optimizer": schedule.optimizer,
            "learning_rate": schedule.learning_rate,
            "attention": None if attention is None else attention.to(next(network.parameters()).device),
            "attention_learning_rate": self.attention_learning_rate,
            "attention_every": self.attention_every,
            "n_steps": schedule.n_steps,
            "tanh_growth": schedule.tanh_growth,
        }
        return PairwiseTrainer(network, loss, **(settings | changes))

    def _train(self, layer: torch.nn.Linear, inputs: Tensor, features: Floats, generator: torch.Generator) -> None:
        from gannet.training.loops import train_on_pairs

        trainer = self.trainer(layer)
        observer = self._step_observer(layer, features)
        train_on_pairs(trainer, self.schedule(), inputs, self.pair_similarity(features), generator, observer)

    def _step_observer(self, layer: torch.nn.Linear, features: Floats) -> Callable[[ObservedStep], None] | None:
        observer = self.observer
        if observer is None:
            return None
        mean = mean_of_originals(features)
        return lambda step: observer(step, lambda: layer_encoder(layer, mean))

    def attention(self) -> GradientAttention | None:
        """Return a new attention network, or None for the plain gradient."""
        from gannet.training.gradient_attention import GradientAttention

        if not 1 <= self.attention_hidden <= 4096:
            raise GannetError(f"attention_hidden must be from 1 to 4096, not {self.attention_hidden}")
        if not self.attention_learning_rate > 0:
            raise GannetError(f"attention_learning_rate must be positive, not {self.attention_learning_rate}")
        if not isinstance(self.attention_every, int) or self.attention_every < 1:
            raise GannetError(f"attention_every must be a whole number from 1, not {self.attention_every}")
        return GradientAttention(self.attention_hidden) if self._attends() else None

    def _attends(self) -> bool:
        if self.gradient_attention is None:
            return self.uses_attention
        if not isinstance(self.gradient_attention, bool):
            raise GannetError(f"gradient_attention must be true or false, not {self.gradient_attention!r}")
        return self.gradient_attention
