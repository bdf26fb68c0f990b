"""The training step of pairwise hashing, with the plain gradient or with gradient attention."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from gannet.errors import GannetError
from gannet.training.distributed import Processes
from gannet.training.gradient_attention import GradientAttention
from gannet.training.losses import PairLoss, squared_loss
from gannet.training.optimizers import make_optimizer, step_per_gradient, update_rule
from gannet.training.schedule import step_seed


class PairwiseTrainer:
    """Train a network so that inner products of its codes follow the similarities of pairs.

    The codes of a batch are ``tanh(beta_t * network(inputs))``. One `step` takes one batch, computes the derivative of
    the loss in each pair's inner product, turns these into derivatives of the codes, and lets the optimizer move the
    network. Without attention, both codes of a pair get the plain derivative. With attention, a `GradientAttention`
    network divides it between the two codes, and is itself trained by looking ahead: the loss of the same batch after
    the step shows how the derivatives should have been divided (Huang, Chen, Pan, ICCV 2019).

    Parameters
    ----------
    network : torch.nn.Module
        Maps inputs ``(n, ...)`` to values ``(n, n_bits)``, whose signs are the bits. Dropout draws the same masks in
        all passes of one step, and running statistics (of batch normalization, for instance) are updated once per step.
    loss : callable, default=squared_loss
        ``loss(products, similarity, n_bits)`` returns the loss of each pair, ``(n, m)``, from the inner products of the
        codes ``(n, m)`` and the similarities ``(n, m)``. It must be differentiable in the products.
    optimizer : {"adam", "sgd"} or torch.optim.Optimizer, default="adam"
        Moves the network's parameters. "sgd" has a momentum of 0.9. With attention, an instance must be a
        `torch.optim.Adam` or a `torch.optim.SGD`; it may hold only some of the parameters.
    learning_rate : float, default=1e-3
        Learning rate of an optimizer given by name.
    attention : GradientAttention, default=None
        The attention network, on the device of ``network``; None trains with the plain gradient.
    attention_learning_rate : float, default=0.05
        Learning rate of the Adam that trains the attention network (Huang et al.: 0.05 to 0.1).
    attention_every : int, default=1
        The attention weights are applied at every step; the attention network itself is updated at every step of the
        first quarter of ``n_steps`` and only at every ``attention_every``-th step after that (Huang et al.: 1).
    n_steps : int, default=0
        Planned number of steps.
    tanh_growth : float, default=0.0
        The scale inside tanh is ``beta_t = sqrt(1 + tanh_growth * t)`` at step t (Huang et al.: 0.005).
    seed : int, default=0
        Seed for the dropout masks.
    processes : Processes, default=None
        Processes that share each batch (see `gannet.training.distributed`); None for this process alone.

    Attributes
    ----------
    step_count : int
        Number of steps taken.
    codes : Tensor of shape (n + m, n_bits)
        Codes of the last batch before the network moved.

    Raises
    ------
    GannetError
        If the optimizer is unknown, or if gradient attention does not know the step of its class.

    Examples
    --------
    >>> import torch
    >>> from gannet import GradientAttention, PairwiseTrainer
    >>> _ = torch.manual_seed(0)
    >>> network = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 16))
    >>> trainer = PairwiseTrainer(network, attention=GradientAttention(), learning_rate=0.01)
    >>> classes = torch.arange(40) % 4
    >>> inputs = torch.eye(8)[classes] + 0.1 * torch.randn(40, 8)
    >>> similarity = (classes[:20, None] == classes[None, 20:]).float()
    >>> losses = [float(trainer.step(inputs, similarity)) for _ in range(20)]
    >>> losses[-1] < losses[0]
    True
    """

    codes: Tensor

    def __init__(
        self,
        network: nn.Module,
        loss: PairLoss = squared_loss,
        *,
        optimizer: str | torch.optim.Optimizer = "adam",
        learning_rate: float = 1e-3,
        attention: GradientAttention | None = None,
        attention_learning_rate: float = 0.05,
        attention_every: int = 1,
        n_steps: int = 0,
        tanh_growth: float = 0.0,
        seed: int = 0,
        processes: Processes | None = None,
    ) -> None:
        self.network, self.loss, self.attention = network, loss, attention
        self.optimizer = (
            make_optimizer(optimizer, network.parameters(), learning_rate) if isinstance(optimizer, str) else optimizer
        )
        if attention is not None:
            update_rule(self.optimizer)
            _load_forward_mode()
            self.attention_optimizer = make_optimizer("adam", attention.parameters(), attention_learning_rate)
        self.attention_every, self.n_steps, self.tanh_growth = attention_every, n_steps, tanh_growth
        self.seed, self.processes = seed, processes or Processes()
        self.step_count = 0
        self.processes.share(p.detach() for p in self.learned().values())

    def step(self, inputs: Tensor, similarity: Tensor) -> Tensor:
        """Take one step on a batch of pairs.

        Parameters
        ----------
        inputs : Tensor of shape (n + m, ...)
            Inputs of the network: the first n are one side of all pairs, the other m the second side. With several
            processes, this process's rows of both sides.
        similarity : Tensor of shape (n, m)
            Similarity of each pair, of the whole batch, in the terms of the loss: for `squared_loss` 1 for similar
            pairs, and 0 or -1 for others.

        Returns
        -------
        Tensor of shape ()
            Loss before the step: the sum over pairs, divided by n.

        Raises
        ------
        GannetError
            If the similarities do not fit the inputs.
        """
        n = len(similarity)
        codes = self._codes(inputs)
        self.codes = self.processes.gather(codes.detach())
        if similarity.shape != (n, len(self.codes) - n):
            raise GannetError(
                f"similarity of shape {tuple(similarity.shape)} does not fit a batch of {len(self.codes)} inputs: its "
                "rows are the first inputs, its columns the others"
            )
        loss, derivatives = self._derivatives(self.codes, similarity)
        looks_ahead = self._looks_ahead()
        before = {name: p.detach().clone() for name, p in self.network.named_parameters()} if looks_ahead else {}
        with torch.set_grad_enabled(looks_ahead):
            gradient = self._code_gradient(self.codes, derivatives)
        self._descend(codes, gradient)
        if looks_ahead:
            self._train_attention(inputs, similarity, gradient, before)
        self.step_count += 1
        return loss

    def learned(self) -> dict[str, nn.Parameter]:
        """Return all parameters that are learned.

        Returns
        -------
        dict of str to torch.nn.Parameter
            The parameters of the network under ``network.NAME`` and of the attention network under ``attention.NAME``.
        """
        attention = {} if self.attention is None else dict(self.attention.named_parameters(prefix="attention"))
        return {**dict(self.network.named_parameters(prefix="network")), **attention}

    def _looks_ahead(self) -> bool:
        in_first_quarter = self.step_count < self.n_steps // 4
        return self.attention is not None and (in_first_quarter or self.step_count % self.attention_every == 0)

    def _codes(self, inputs: Tensor, weights: dict[str, Tensor] | None = None) -> Tensor:
        """Return the codes of this process's inputs at the network's weights.

        With ``weights``, which replace some of the network's, buffers are copied, so that the pass leaves no trace.
        """
        state = weights
        if weights is not None:
            state = {**{name: buffer.clone() for name, buffer in self.network.named_buffers()}, **weights}
        with self._dropout_masks(inputs.device):
            values: Tensor = functional_call(self.network, state, (inputs,)) if state else self.network(inputs)
        return torch.tanh(self._scale() * values)

    def _scale(self) -> float:
        """Return the scale inside tanh at this step."""
        return float((1 + self.tanh_growth * self.step_count) ** 0.5)

    @contextmanager
    def _dropout_masks(self, device: torch.device) -> Iterator[None]:
        """Seed torch's generators for the masks of this step and process, and restore their state at the end."""
        generators = [torch.default_generator]
        if device.type == "cuda":
            generators.append(torch.cuda.default_generators[device.index or 0])
        states = [generator.get_state() for generator in generators]
        for generator in generators:
            generator.manual_seed(step_seed(self.seed, 2 + self.processes.rank, self.step_count))
        try:
            yield
        finally:
            for generator, state in zip(generators, states, strict=True):
                generator.set_state(state)

    def _derivatives(self, codes: Tensor, similarity: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of the batch, and its derivative in each pair's inner product, ``(n, m)``."""
        n, n_bits = len(similarity), codes.shape[1]
        products = (codes[:n] @ codes[n:].T).requires_grad_()
        loss = self.loss(products, similarity, n_bits).sum() / n
        (derivatives,) = torch.autograd.grad(loss, products)
        return loss.detach(), derivatives

    def _code_gradient(self, codes: Tensor, derivatives: Tensor) -> Tensor:
        """Return the gradient in the codes ``(n + m, n_bits)`` that the network descends."""
        if self.attention is None:
            return _plain_gradient(codes, derivatives)
        n = len(derivatives)
        return torch.cat(self.attention(codes[:n], codes[n:], derivatives))

    def _descend(self, codes: Tensor, gradient: Tensor) -> None:
        self.network.zero_grad()
        codes.backward(self.processes.own(gradient.detach()))  # type: ignore[no-untyped-call]
        self.processes.add(p.grad for p in self.network.parameters() if p.grad is not None)
        self.optimizer.step()

    def _train_attention(self, inputs: Tensor, similarity: Tensor, gradient: Tensor, before: dict[str, Tensor]) -> None:
        """Move the attention network down the loss that the batch has after the network's step."""
        moved = self._moved()
        codes = self._codes(inputs, {})
        together = self.processes.gather(codes.detach())
        plain = _plain_gradient(together, self._derivatives(together, similarity)[1])
        gradients = torch.autograd.grad(codes, list(moved.values()), self.processes.own(plain))
        self.processes.add(gradients)
        # In place: the look-ahead should need little memory beyond the step's own.
        descent = {
            name: weight_gradient.mul_(step_per_gradient(self.optimizer, parameter))
            for (name, parameter), weight_gradient in zip(moved.items(), gradients, strict=True)
        }
        if type(self.network) is nn.Linear and "weight" in descent:
            direction = self._look_ahead_gradient_of_layer(inputs, descent)
        else:
            direction = look_ahead_gradient(
                lambda weights: self._codes(inputs, weights), {name: before[name] for name in moved}, descent
            )
        self.attention_optimizer.zero_grad()
        gradient.backward(self.processes.gather(direction))  # type: ignore[no-untyped-call]
        self.attention_optimizer.step()

    def _look_ahead_gradient_of_layer(self, inputs: Tensor, descent: dict[str, Tensor]) -> Tensor:
        """Return the result of `look_ahead_gradient` for a linear network, several times faster than forward mode."""
        values = nn.functional.linear(inputs, descent["weight"], descent.get("bias"))
        return self.processes.own(self.codes).square().sub_(1).mul_(self._scale()).mul_(values)

    def _moved(self) -> dict[str, nn.Parameter]:
        """Return the parameters of the network that the optimizer has just moved, by name."""
        held = {id(p) for group in self.optimizer.param_groups for p in group["params"]}
        return {name: p for name, p in self.network.named_parameters() if id(p) in held and p.grad is not None}


@functools.cache
def _load_forward_mode() -> None:
    """Let torch load its forward mode, which warns of its own use of an old function."""
    with warnings.catch_warnings(action="ignore"):
        jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


def look_ahead_gradient(
    codes: Callable[[dict[str, Tensor]], Tensor], weights: dict[str, Tensor], descent: dict[str, Tensor]
) -> Tensor:
    """Return the gradient of the look-ahead loss in the weighted derivatives, ``-J P v`` of shape ``(n, k)``.

    ``codes`` maps network weights to the batch's codes, ``weights`` are the weights before the step, at which the
    Jacobian J is taken, and ``descent`` is ``P v``: the gradient v of the look-ahead loss in the weights, times the
    optimizer's step per unit of gradient P. It takes one forward-mode product and no second-order graph.
    """
    tangent: Tensor = jvp(codes, (weights,), (descent,))[1]
    return -tangent.detach()


def _plain_gradient(codes: Tensor, derivatives: Tensor) -> Tensor:
    """Return the gradient in the codes ``(n + m, k)`` from the derivatives ``(n, m)`` in their inner products."""
    n = len(derivatives)
    return torch.cat([derivatives @ codes[n:], derivatives.T @ codes[:n]])
