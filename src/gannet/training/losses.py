"""Pairwise losses: functions of the inner products P and the similarities of pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gannet.errors import unknown_name

PairLoss = Callable[[Tensor, Tensor, int], Tensor]
"""Maps inner products ``(n, m)``, similarities ``(n, m)`` and the number of bits to each pair's loss ``(n, m)``."""


def squared_loss(products: Tensor, similarity: Tensor, n_bits: int) -> Tensor:
    """Return ``(P / k - s)^2``, which pulls the mean agreement of a pair's bits towards its similarity.

    Parameters
    ----------
    products : Tensor of shape (n, m)
        Inner products P of codes.
    similarity : Tensor of shape (n, m)
        Similarities s of the pairs.
    n_bits : int
        Length k of the codes in bits.

    Returns
    -------
    Tensor of shape (n, m)
        Loss of each pair.
    """
    return (products / n_bits - similarity).square()


def likelihood_loss(products: Tensor, similarity: Tensor, n_bits: int, gamma: float = 0.2) -> Tensor:
    """Return ``log(1 + e^(gamma P)) - gamma s P``, the pairwise likelihood of GAH (Huang et al. 2019).

    The similarity s is 1 or 0; -1 counts as 0. GAH uses a gamma of 0.15 to 0.3, depending on the data set.

    Parameters
    ----------
    products : Tensor of shape (n, m)
        Inner products P of codes.
    similarity : Tensor of shape (n, m)
        Similarities s of the pairs.
    n_bits : int
        Length k of the codes in bits.
    gamma : float, default=0.2
        Steepness of the loss.

    Returns
    -------
    Tensor of shape (n, m)
        Loss of each pair.
    """
    scaled = gamma * products
    return nn.functional.softplus(scaled) - torch.relu(similarity) * scaled


PAIR_LOSSES: dict[str, PairLoss] = {"squared": squared_loss, "likelihood": likelihood_loss}


def pair_loss(name: str) -> PairLoss:
    """Return the pairwise loss of a name."""
    if name not in PAIR_LOSSES:
        raise unknown_name("loss", name, PAIR_LOSSES)
    return PAIR_LOSSES[name]
