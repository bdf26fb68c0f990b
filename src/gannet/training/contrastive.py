"""Contrastive learning from several views of each item: losses, codes and a space in which items are compared."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from gannet.training.batch_losses import signs, straight_through
from gannet.training.loops import train_on_views
from gannet.training.mlp import MLP
from gannet.training.schedule import Schedule

_N_DIMENSIONS = 128


def contrastive_space(
    views: Tensor, hidden: int, temperature: float, schedule: Schedule, generator: torch.Generator
) -> Tensor:
    """Return the first view of each item in a learned space: centered vectors ``(N, 128)`` of unit length.

    A network with one hidden layer of ``hidden`` units learns with `nt_xent` to distinguish views of an item from views
    of other items, as SimCLR does (Chen et al., ICML 2020), but from features: ``views (N, n_views, d)`` of unit
    length.
    """
    network = MLP(views.shape[-1], hidden, _N_DIMENSIONS)
    train_on_views(network, partial(nt_xent, temperature=temperature), schedule, views, generator)
    with torch.no_grad():
        space = nn.functional.normalize(network(views[:, 0]))
        return nn.functional.normalize(space - space.mean(dim=0))


def sampled_codes(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return codes: +1 with probability ``sigmoid(logits)``, else -1; the gradient passes to the probability."""
    probabilities = torch.sigmoid(logits)
    uniform = torch.rand(logits.shape, generator=generator)
    return straight_through(signs(probabilities - uniform), probabilities)


def rounded_codes(logits: Tensor) -> Tensor:
    """Return the more probable codes, the signs of ``logits``; the gradient passes to the probability."""
    return straight_through(signs(logits), torch.sigmoid(logits))


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the normalized temperature-scaled cross entropy of Chen et al. 2020 between codes of two views.

    Each of the 2n codes should have a larger cosine with the other view of its item than with the 2n - 2 codes of other
    items; cosines are divided by ``temperature``.
    """
    unit = nn.functional.normalize(torch.cat([first, second]), dim=1)
    n = len(first)
    logits = (unit @ unit.T / temperature).fill_diagonal_(-torch.inf)
    return nn.functional.cross_entropy(logits, torch.arange(2 * n).roll(n))


def bernoulli_divergence(logits: Tensor, others: Tensor) -> Tensor:
    """Return the mean over items of ``sum_k KL(Bernoulli(sigmoid(logits)) || Bernoulli(sigmoid(others)))``.

    No gradient flows into ``others (n, k)``, which represent the marginal distribution.
    """
    others = others.detach()
    log_on, log_off = nn.functional.logsigmoid(logits), nn.functional.logsigmoid(-logits)
    other_on, other_off = nn.functional.logsigmoid(others), nn.functional.logsigmoid(-others)
    return (log_on.exp() * (log_on - other_on) + log_off.exp() * (log_off - other_off)).sum(dim=1).mean()


def code_alignment(first: Tensor, second: Tensor) -> Tensor:
    """Return the binary cross entropy of the bits of one view, given the values of the other, in both directions.

    The values ``(n, k)`` are log-odds of a bit being 1. No gradient flows into the bits, the signs of the values.
    """
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    return (cross_entropy(first, (second > 0).float()) + cross_entropy(second, (first > 0).float())) / 2


def coding_rate(values: Tensor, epsilon: float) -> Tensor:
    """Return ``log det(I + k / (n epsilon) Z^T Z) / 2``, for rows Z of ``values (n, k)`` at unit length.

    It is large where the rows fill all directions. The result is scaled by ``(n + k) / (n k)``, so that its size
    depends little on n and k.
    """
    n, k = values.shape
    unit = nn.functional.normalize(values, dim=1)
    covariance = torch.eye(k) + k / (n * epsilon) * unit.T @ unit
    half_log_determinant: Tensor = torch.linalg.cholesky(covariance).diagonal().log().sum()
    return half_log_determinant * (n + k) / (n * k)
