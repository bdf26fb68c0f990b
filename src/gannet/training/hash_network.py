"""Training a whole network from pixels: backbone and hash layer, with the plain gradient or with gradient attention.

Batch normalisation keeps its running statistics, in training too: a code then depends on its own image alone, the look-
ahead differentiates the same function that is trained, and the network that was trained is the one that encodes.
Dropout layers drop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gannet.backbones.base import Backbone, Weights
from gannet.backbones.extractor import normalized
from gannet.support.progress import progress
from gannet.training.checkpoint import Checkpoint
from gannet.training.distributed import Processes
from gannet.training.fine_tuning import FineTuning
from gannet.training.gradient_attention import GradientAttention
from gannet.training.health import SAMPLE, check_numbers, check_values, diverged, is_time, suggest_smaller_batch
from gannet.training.losses import PairLoss
from gannet.training.pictures import Pictures, step_seed
from gannet.training.similarity import Similarity
from gannet.training.trainer import (
    OPTIMIZERS,
    PairwiseTrainer,
    Schedule,
    look_ahead_gradient,
    step_per_gradient,
)


class HashNetwork(nn.Module):
    """A backbone with a hash layer in place of its classifier: uint8 ``(n, size, size, 3)`` to values ``(n, k)``.

    Parameters: ``weights``, the backbone's first weights; ``layer``, from features to bits; ``mean (d,)``, what is
    subtracted before features are brought to unit length, or None where the layer sees them as they are;
    ``mixed_precision``, to run the backbone in bfloat16 (the hash layer and all weights stay in 32 bits).
    """

    mean: Tensor | None

    def __init__(
        self, backbone: Backbone, weights: Weights, layer: nn.Linear, mean: Tensor | None, mixed_precision: bool = False
    ) -> None:
        super().__init__()
        self.backbone = normalized(backbone, backbone.module(weights)).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.layer, self.mixed_precision = layer, mixed_precision
        self.register_buffer("mean", mean)
        for module in self.backbone.modules():
            if isinstance(module, nn.Dropout):
                module.train()

    def forward(self, images: Tensor) -> Tensor:
        """Return the values before tanh, ``(n, k)``."""
        # A cache of cast weights would hand the look-ahead those of another point.
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.mixed_precision, cache_enabled=False):
            features = self.backbone(images)
        features = features.to(self.layer.weight.dtype)
        if self.mean is not None:
            features = nn.functional.normalize(features - self.mean)
        values: Tensor = self.layer(features)
        return values

    def backbone_weights(self) -> Weights:
        """Return the backbone's weights as arrays by their names in its weight file."""
        return {name: tensor.detach().cpu().numpy() for name, tensor in self.backbone.module.state_dict().items()}


class NetworkTrainer(PairwiseTrainer):
    """Train a network from pixels so that inner products of its ``tanh`` codes follow the similarities.

    Parameters: ``network``, ``loss``, ``schedule``, ``attention`` and its settings as for `PairwiseTrainer`;
    ``fine_tuning``; ``seed``, of the dropout masks; ``processes``, which share each batch (see `distributed`).
    """

    network: HashNetwork

    def __init__(
        self,
        network: HashNetwork,
        loss: PairLoss,
        schedule: Schedule,
        attention: GradientAttention | None = None,
        attention_learning_rate: float = 0.05,
        attention_every: int = 1,
        *,
        fine_tuning: FineTuning,
        seed: int,
        processes: Processes | None = None,
    ) -> None:
        super().__init__(network, loss, schedule, attention, attention_learning_rate, attention_every)
        self.fine_tuning, self.seed, self.processes = fine_tuning, seed, processes or Processes()
        rate = schedule.learning_rate
        groups = [
            {"params": list(network.layer.parameters()), "lr": rate},
            {"params": list(network.backbone.parameters()), "lr": rate * fine_tuning.backbone_rate},
        ]
        self.optimizer = OPTIMIZERS[schedule.optimizer](groups, rate)
        self.processes.share(p.detach() for p in self._trained().values())

    def fit_pictures(self, pictures: Pictures, similarity: Similarity, checkpoint: Checkpoint | None = None) -> None:
        """Take the steps of the schedule that the checkpoint has not taken yet.

        Raises: `GannetError` when memory runs out, the loss is not a number or the codes collapse; `KeyboardInterrupt`
        with what becomes of the training.
        """
        if saved := checkpoint.load() if checkpoint else None:
            self.step_count = saved[0]
            self._restore(saved[1])
        try:
            with suggest_smaller_batch(self.schedule.batch_size):
                self._fit(pictures, similarity, checkpoint)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(self._farewell(checkpoint)) from None

    def _fit(self, pictures: Pictures, similarity: Similarity, checkpoint: Checkpoint | None) -> None:
        n, n_steps = min(self.schedule.batch_size, pictures.n // 2), self.schedule.n_steps
        is_first = self.processes.rank == 0
        # No more codes than there are images: the same few over and over would look like a collapse.
        recent = deque[Tensor](maxlen=max(1, min(SAMPLE, pictures.n) // (2 * n)))
        with progress(n_steps, "training the network", "step", hidden=not is_first) as bar:
            bar.update(self.step_count)
            for items, pixels in pictures.batches(range(self.step_count, n_steps), 2 * n, self.processes):
                images = pixels.to(self._device)
                recent.append(self.step_on(images, similarity(items[:n], items[n:]).to(self._device)))
                if self.step_count == n_steps:
                    with torch.no_grad():
                        recent[-1] = self.processes.gather(self._codes(images))
                check_numbers(recent[-1], self.step_count)
                if is_time(self.step_count, n_steps):
                    check_values(torch.cat(list(recent)), self.step_count)
                if checkpoint and is_first and self._is_due():
                    self._save(checkpoint)
                bar.update(1)

    def step_on(self, images: Tensor, similarity: Tensor) -> Tensor:
        """Take one step; return the whole batch's codes before it, ``(2n, k)``.

        Parameters: ``images``, this process's rows of the batch, pixels as the network takes them; ``similarity
        (n, n)``, of the whole batch, the same in every process.
        """
        codes = self._codes(images)
        together = self.processes.gather(codes.detach())
        a, b = together.chunk(2)
        gradient = self._pair_gradient(a, b, similarity)
        if self.attention is None:
            self._descend(codes, self._plain(a, b, gradient))
        elif not self._looks_ahead():
            with torch.no_grad():
                weighted = torch.cat(self.attention(a, b, gradient))
            self._descend(codes, weighted)
        else:
            before = {name: p.detach().clone() for name, p in self.network.named_parameters()}
            weighted = torch.cat(self.attention(a, b, gradient))
            self._descend(codes, weighted)
            self._look_ahead(images, similarity, weighted, before)
        self.step_count += 1
        return together

    def _descend(self, codes: Tensor, gradient: Tensor) -> None:
        codes.backward(self.processes.own(gradient.detach()))  # type: ignore[no-untyped-call]
        self.processes.add(p.grad for p in self.network.parameters() if p.grad is not None)
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _look_ahead(self, images: Tensor, similarity: Tensor, weighted: Tensor, before: dict[str, Tensor]) -> None:
        """Train the attention as `PairwiseTrainer` does, on the whole batch's codes and the same dropout masks."""
        parameters = dict(self.network.named_parameters())
        codes = self._codes(images)
        together = self.processes.gather(codes.detach())
        a, b = together.chunk(2)
        gradient = self._plain(a, b, self._pair_gradient(a, b, similarity))
        gradients = torch.autograd.grad(codes, list(parameters.values()), self.processes.own(gradient))
        self.processes.add(gradients)
        # In place, as memory is what a look-ahead must not cost.
        descent = {
            name: gradient.mul_(step_per_gradient(self.optimizer, parameter))
            for (name, parameter), gradient in zip(parameters.items(), gradients, strict=True)
        }
        direction = look_ahead_gradient(lambda weights: self._codes(images, weights), before, descent)
        self.attention_optimizer.zero_grad()
        weighted.backward(self.processes.gather(direction))  # type: ignore[no-untyped-call]
        self.attention_optimizer.step()

    def _codes(self, images: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
        """Return the codes of this process's images; within a step, all calls drop the same units."""
        with self._masks():
            values: Tensor = functional_call(self.network, weights or {}, (images,))
        return self._activate(values)

    @contextmanager
    def _masks(self) -> Iterator[None]:
        """Seed torch for a while with what this step and this process draw their dropout masks from."""
        with torch.random.fork_rng([self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(step_seed(self.seed, 2 + self.processes.rank, self.step_count))
            yield

    @staticmethod
    def _plain(a: Tensor, b: Tensor, pair_gradient: Tensor) -> Tensor:
        """Return the plain gradient in the codes of both sides, ``(2n, k)``."""
        return torch.cat([pair_gradient @ b, pair_gradient.T @ a])

    @property
    def _device(self) -> torch.device:
        return self.network.layer.weight.device

    def _is_due(self) -> bool:
        return self.step_count % self.fine_tuning.checkpoint_every == 0 or self.step_count == self.schedule.n_steps

    def _save(self, checkpoint: Checkpoint) -> None:
        """Save the state, unless it is one from which nothing can be learned."""
        if not all(bool(torch.isfinite(p).all()) for p in self._trained().values()):
            raise diverged(self.step_count)
        checkpoint.save(self.step_count, self._state())

    def _trained(self) -> dict[str, nn.Parameter]:
        """Return everything that is learned, by name."""
        attention = {} if self.attention is None else dict(self.attention.named_parameters(prefix="attention"))
        return {**dict(self.network.named_parameters(prefix="network")), **attention}

    def _optimizer(self, name: str) -> torch.optim.Optimizer:
        return self.attention_optimizer if name.startswith("attention.") else self.optimizer

    def _state(self) -> dict[str, Tensor]:
        """Return what a checkpoint holds: all that is learned, and under ``NAME/KEY`` what the optimizers remember."""
        state: dict[str, Tensor] = {}
        for name, parameter in self._trained().items():
            state[name] = parameter
            memory = self._optimizer(name).state.get(parameter, {})
            state |= {f"{name}/{key}": value for key, value in memory.items() if value is not None}
        return state

    def _restore(self, state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self._trained().items():
                parameter.copy_(state[name])
                self._optimizer(name).state[parameter] = {
                    # In the parameter's own memory layout, as it was: another may round differently.
                    key.removeprefix(f"{name}/"): torch.zeros_like(parameter).copy_(value)
                    if value.shape == parameter.shape
                    else value
                    for key, value in state.items()
                    if key.startswith(f"{name}/")
                }

    def _farewell(self, checkpoint: Checkpoint | None) -> str:
        at = f"after step {self.step_count:,} of {self.schedule.n_steps:,}"
        if checkpoint is None:
            return f"{at}; nothing is kept without a folder for checkpoints (--checkpoint DIR)"
        if not checkpoint.path.exists():
            return f"{at}, before the first checkpoint ({self.fine_tuning.checkpoint_every} steps)"
        return f"{at}; run the same command again to go on from the last checkpoint ({checkpoint.path})"
