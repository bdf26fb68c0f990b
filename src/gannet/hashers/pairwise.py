"""The base class of methods that learn from pairs, with or without gradient attention."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import field
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
    from gannet.training.similarity import Similarity
    from gannet.training.trainer import PairwiseTrainer


class PairwiseHasher(LayerHasher):
    """Base class of methods that train a linear hash layer on batches of pairs.

    A subclass provides a similarity and, unless it is the squared loss, a loss. Training with the plain gradient,
    training with gradient attention, and training of the whole image network then all work.

    Parameters
    ----------
    gradient_attention : bool or None, default=None
        Whether to train with gradient attention; None uses the method's own choice, ``uses_attention``.
    attention_hidden : int, default=16
        Width of the attention network (Huang et al.: 100).
    attention_learning_rate : float, default=0.05
        Learning rate of the Adam that trains the attention network (Huang et al.: 0.05 to 0.1).
    attention_every : int, default=4
        The attention weights are applied at every step; the attention network itself is updated at every step of the
        first quarter, and only at every n-th step after that (Huang et al.: 1).
    batch_size : int, default=128
        Items on each side of a batch of pairs.

    Attributes
    ----------
    uses_attention : bool
        Whether the method trains with gradient attention, as its name says.
    observer : callable or None
        Called in `fit` at about a hundred evenly spaced steps as ``observer(step, encoder)``, with an `ObservedStep`
        and a function that returns a copy of the encoder at that step. It is not a setting: clones have none.
    """

    uses_attention: ClassVar[bool]

    gradient_attention: bool | None = None
    attention_hidden: int = 16
    attention_learning_rate: float = 0.05
    attention_every: int = 4

    observer: Callable[[ObservedStep, Callable[[], Encoder]], None] | None = field(default=None, init=False)

    @abstractmethod
    def pair_similarity(self, features: Floats) -> Similarity:
        """Return the similarity function of training items.

        Parameters
        ----------
        features : ndarray of shape (N, d) or (N, n_views, d), dtype float32
            Features of the items, or of views of each.

        Returns
        -------
        callable
            Maps indices of items, Tensors of shapes (n,) and (m,), to similarities of shape (n, m).
        """

    def pair_loss(self) -> PairLoss:
        """Return the loss, by default `gannet.training.losses.squared_loss`.

        Returns
        -------
        callable
            ``loss(products, similarity, n_bits)`` maps inner products and similarities of shape (n, m) to the loss of
            each pair, of shape (n, m).
        """
        from gannet.training.losses import squared_loss

        return squared_loss

    def trainer(self, network: torch.nn.Module, **changes: Any) -> PairwiseTrainer:
        """Return a trainer with the method's loss, schedule and attention.

        Parameters
        ----------
        network : torch.nn.Module
            Maps inputs to values ``(n, n_bits)``.
        **changes
            Arguments of `PairwiseTrainer` that replace those from the settings.

        Returns
        -------
        PairwiseTrainer
            A new trainer of ``network``.
        """
        from gannet.training.trainer import PairwiseTrainer

        attention, loss, schedule = self.attention(), self.pair_loss(), self.schedule()
        arguments: dict[str, Any] = {
            "optimizer": schedule.optimizer,
            "learning_rate": schedule.learning_rate,
            "attention": None if attention is None else attention.to(next(network.parameters()).device),
            "attention_learning_rate": self.attention_learning_rate,
            "attention_every": self.attention_every,
            "n_steps": schedule.n_steps,
            "tanh_growth": schedule.tanh_growth,
        }
        return PairwiseTrainer(network, loss, **(arguments | changes))

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
        """Return a new attention network, or None for the plain gradient.

        Returns
        -------
        GradientAttention or None
            The network, with initial weights from torch's generator.
        """
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
