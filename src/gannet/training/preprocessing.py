"""Gradient preprocessing of Andrychowicz et al., *Learning to learn by gradient descent by gradient descent* (2016)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PRECISION = 10.0
"""p of appendix A."""


def preprocess(gradient: Tensor) -> Tensor:
    """Turn gradients of any scale into two numbers of order one each, shape ``(..., 2)``.

    ``(log|g| / p, sign g)`` where ``|g| >= e^-p``, else ``(-1, e^p g)`` (appendix A).
    """
    magnitude = gradient.abs()
    smallest = math.exp(-PRECISION)
    large = magnitude >= smallest
    log = torch.where(large, magnitude.clamp_min(smallest).log() / PRECISION, -1.0)
    sign = torch.where(large, gradient.sign(), gradient * math.exp(PRECISION))
    return torch.stack([log, sign], dim=-1)
