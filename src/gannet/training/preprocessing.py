"""Preprocessing of gradients for a network, by Andrychowicz et al. 2016."""

from __future__ import annotations

import math

import torch
from torch import Tensor

PRECISION = 10.0
"""The constant p of appendix A."""


def preprocess(gradient: Tensor) -> Tensor:
    """Represent gradients of any scale by two numbers of order one each, shape ``(..., 2)``.

    They are ``(log|g| / p, sign g)`` if ``|g| >= e^-p`` and ``(-1, e^p g)`` otherwise (appendix A of Andrychowicz et
    al., "Learning to learn by gradient descent by gradient descent", NIPS 2016).
    """
    magnitude = gradient.abs()
    smallest = math.exp(-PRECISION)
    large = magnitude >= smallest
    log = torch.where(large, magnitude.clamp_min(smallest).log() / PRECISION, -1.0)
    sign = torch.where(large, gradient.sign(), gradient * math.exp(PRECISION))
    return torch.stack([log, sign], dim=-1)
