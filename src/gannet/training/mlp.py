"""A network with one hidden layer on features of unit length."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from gannet.encoders import Floats

_ROWS_AT_ONCE = 1 << 12


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
        return self.output(torch.relu(self.hidden(self.scale * inputs)))  # type: ignore[no-any-return]

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


def _array(tensor: Tensor) -> Floats:
    return np.array(tensor.numpy(), np.float32, order="C")
