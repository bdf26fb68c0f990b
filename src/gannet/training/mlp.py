"""A network with one hidden layer on features of unit length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gannet.encoders import Floats
from gannet.support import threads

_ROWS_AT_ONCE = 1 << 12
_UNITS_AT_ONCE = 1 << 8


class MLP(nn.Module):
    """A hidden layer of rectified units and a linear layer, from unit vectors ``(n, n_features)`` to ``(n, n_values)``.

    Inputs are first scaled to unit variance over their values, for which the initial weights are made. If the network
    is ``normalized``, each value is brought to mean 0 and variance 1 over the batch, then scaled and shifted by learned
    parameters; there are no running statistics.
    """

    def __init__(self, n_features: int, hidden: int, n_values: int, normalized: bool = False) -> None:
        super().__init__()
        self.scale = n_features**0.5
        self.hidden = nn.Linear(n_features, hidden)
        self.output = nn.Linear(hidden, n_values)
        self.normalization = nn.BatchNorm1d(n_values, track_running_stats=False) if normalized else None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the values ``(n, n_values)`` of a batch."""
        values = self._before_normalization(inputs)
        return values if self.normalization is None else self.normalization(values)

    def _before_normalization(self, inputs: Tensor) -> Tensor:
        # Scaled one batch at a time: a scaled copy of all views would double the memory.
        hidden: Tensor = _SharedLinear.apply(self.scale * inputs, self.hidden.weight, self.hidden.bias)  # type: ignore[no-untyped-call]
        return self.output(torch.relu(hidden))  # type: ignore[no-any-return]

    @torch.no_grad()
    def arrays(self, inputs: Tensor) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the weights and biases of two layers that compute the same values without scaling and normalization.

        Their shapes are ``(n_features, hidden)``, ``(hidden,)``, ``(hidden, n_values)`` and ``(n_values,)``. The
        normalization is by the mean and variance over all ``inputs (N, n_features)``.
        """
        weight: Tensor = self.output.weight
        bias: Tensor = self.output.bias
        if self.normalization is not None:
            values = torch.cat([self._before_normalization(rows) for rows in torch.split(inputs, _ROWS_AT_ONCE)])
            slope = self.normalization.weight / (values.var(dim=0, correction=0) + self.normalization.eps).sqrt()
            weight = slope[:, None] * weight
            bias = slope * (bias - values.mean(dim=0)) + self.normalization.bias
        first = self.scale * self.hidden.weight
        return _array(first.T), _array(self.hidden.bias), _array(weight.T), _array(bias)


class _SharedLinear(torch.autograd.Function):
    """``inputs @ weight.T + bias``, whose columns threads compute together; the inputs get no gradient.

    Training holds torch to one thread, as threads of torch wait long for each other on busy cores. These take turns
    and do not wait in loops.
    """

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(inputs)
        weight, bias, outputs = weight.detach(), bias.detach(), inputs.new_empty(len(inputs), len(weight))

        def compute(units: slice) -> None:
            torch.addmm(bias[units], inputs, weight[units].T, out=outputs[:, units])

        _share_units(compute, len(weight))
        return outputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor, Tensor]:
        (inputs,) = ctx.saved_tensors
        of_weight = inputs.new_empty(gradient.shape[1], inputs.shape[1])

        def compute(units: slice) -> None:
            torch.mm(gradient[:, units].T, inputs, out=of_weight[units])

        _share_units(compute, len(of_weight))
        return None, of_weight, gradient.sum(dim=0)


def _share_units(compute: Callable[[slice], None], n_units: int) -> None:
    """Call ``compute`` on ranges of units that cover all of them, in several threads."""

    def work(starts: Iterator[int]) -> None:
        for start in starts:
            compute(slice(start, start + _UNITS_AT_ONCE))

    threads.share(range(0, n_units, _UNITS_AT_ONCE), work)


def _array(tensor: Tensor) -> Floats:
    return np.array(tensor.numpy(), np.float32, order="C")
