"""Losses of a whole batch of values, and the discrete layers in them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def relation_loss(codes: Tensor, unit_features: Tensor) -> Tensor:
    """Return the mean of ``(b_i . b_j / k - cos(x_i, x_j))^2`` over the pairs between the halves of a batch.

    ``codes (2n, k)`` are binary or nearly so, so that inner products divided by k are cosines; ``unit_features (2n,
    d)`` of the same items have unit length.
    """
    n, n_bits = len(codes) // 2, codes.shape[1]
    relations = codes[:n] @ codes[n:].T / n_bits
    return (relations - unit_features[:n] @ unit_features[n:].T).square().mean()


def greedy_loss(values: Tensor, unit_features: Tensor, penalty: float) -> Tensor:
    """Return the unsupervised loss of Su et al. 2018: the relation loss of signs plus ``penalty mean ||h| - 1|^3``."""
    cubic = (values.abs() - 1).abs().pow(3).mean()
    return relation_loss(straight_through(signs(values), values), unit_features) + penalty * cubic


def bi_half_loss(values: Tensor, unit_features: Tensor, gamma: float) -> Tensor:
    """Return the loss of Li & van Gemert 2021: relation loss of bi-half codes B plus ``gamma / 2 mean (U - B)^2``.

    Their layer adds ``gamma (U - B) / (n k)`` to the gradient in the values ``U (n, k)``, which is the gradient of the
    second term.
    """
    codes = bi_half(values)
    return relation_loss(straight_through(codes, values), unit_features) + gamma / 2 * (values - codes).square().mean()


def semantic_loss(values: Tensor, unit_features: Tensor, quantization: float, balance: float) -> Tensor:
    """Return three of the four criteria of Jin et al. 2019, for codes ``u = tanh(values)``.

    It is the relation loss of the codes, plus ``quantization`` times the mean of ``(u - sign u)^2``, plus ``balance``
    times the mean over bits of the squared mean of u over the batch.
    """
    codes = torch.tanh(values)
    return (
        relation_loss(codes, unit_features)
        + quantization * (codes - signs(codes)).square().mean()
        + balance * codes.mean(dim=0).square().mean()
    )


def calibration_loss(values: Tensor, unit_features: Tensor, quantiles: Tensor) -> Tensor:
    """Return the mean difference of the cosines of codes and calibrated ones, over pairs between the halves of a batch.

    The pair with the i-th lowest cosine of ``unit_features (2n, d)`` should have the i-th of the ascending
    ``quantiles (n^2,)`` as the cosine of its values ``(2n, k)``.
    """
    n = len(values) // 2
    unit = nn.functional.normalize(values, dim=1)
    order = (unit_features[:n] @ unit_features[n:].T).flatten().argsort()
    return ((unit[:n] @ unit[n:].T).flatten()[order] - quantiles).abs().mean()


def angle_loss(values: Tensor) -> Tensor:
    """Return the mean of ``1 - cos(v, sign v)`` over the rows v of ``values (n, k)``."""
    return 1 - nn.functional.cosine_similarity(values, signs(values)).mean()


def signs(values: Tensor) -> Tensor:
    """Return the signs of ``values``; the sign of 0 is +1."""
    return torch.where(values >= 0, 1.0, -1.0)


@torch.no_grad()
def bi_half(values: Tensor) -> Tensor:
    """Return balanced codes: for each bit, +1 for the upper half of ``values (n, k)`` and -1 for the lower.

    This is the optimal transport of the values to the distribution with the highest entropy (Li & van Gemert 2021). For
    an odd n the larger half is -1; equal values keep their order.
    """
    halves = torch.ones_like(values)
    halves[len(values) // 2 :] = -1
    return torch.empty_like(values).scatter_(0, values.argsort(dim=0, descending=True, stable=True), halves)


def straight_through(codes: Tensor, values: Tensor) -> Tensor:
    """Return ``codes`` with a gradient that passes to ``values`` unchanged (Bengio et al. 2013)."""
    return codes + (values - values.detach())
