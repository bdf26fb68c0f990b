"""Scores of gradient attention on CPU, fused: no array of pairs x bits x hidden ever exists.

For each side the score of pair ``(i, j)`` and bit ``b`` is ``v . relu(item_ib + W rho(G_ij * other_jb))``. Plain
tensor code stores the hidden layer of every pair and bit and is bound by memory; here it lives in registers and
the backward pass recomputes it, so time is bound by arithmetic and memory grows with pairs x bits only.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from gannet.training.preprocessing import PRECISION

_GROWTH = math.exp(PRECISION)
_TINIEST = 1e-30  # stands for zero in logarithms; any value under e^-p would do


@numba.njit(inline="always", fastmath=True)
def _preprocess(gradient: Any, other: Any, log_gradient: Any, log_other: Any, log: Any, sign: Any) -> None:
    """Write rho of ``gradient * other`` for one pair into ``log (k,)`` and ``sign (k,)``.

    The logarithm of the product is the sum of logarithms taken once per pair and once per code and bit.
    """
    for b in range(other.shape[0]):
        value = gradient * other[b]
        size = log_gradient + log_other[b]
        large = size >= -1.0
        log[b] = size if large else -1.0
        sign[b] = (1.0 if value > 0 else -1.0) if large else value * _GROWTH


@numba.njit(parallel=True, fastmath=True, cache=True, error_model="numpy")
def _forward(item: Any, others: Any, gradient: Any, logs_o: Any, logs_g: Any, w: Any, v: Any, scores: Any) -> None:
    n, hidden, k = item.shape
    for i in numba.prange(n):
        log, sign = np.empty(k, item.dtype), np.empty(k, item.dtype)
        for j in range(others.shape[0]):
            _preprocess(gradient[i, j], others[j], logs_g[i, j], logs_o[j], log, sign)
            row = scores[i, j]
            row[:] = 0
            for c in range(hidden):
                base, w_log, w_sign, out = item[i, c], w[c, 0], w[c, 1], v[c]
                for b in range(k):
                    row[b] += out * max(base[b] + w_log * log[b] + w_sign * sign[b], item.dtype.type(0))


@numba.njit(parallel=True, fastmath=True, cache=True, error_model="numpy")
def _backward(
    item: Any,
    others: Any,
    gradient: Any,
    logs_o: Any,
    logs_g: Any,
    w: Any,
    v: Any,
    d_scores: Any,
    d_item: Any,
    d_w: Any,
    d_v: Any,
) -> None:
    n, hidden, k = item.shape
    zero = item.dtype.type(0)
    for i in numba.prange(n):
        log, sign = np.empty(k, item.dtype), np.empty(k, item.dtype)
        active = np.zeros((hidden, k), item.dtype)
        by_log = np.zeros((hidden, k), item.dtype)
        by_sign = np.zeros((hidden, k), item.dtype)
        by_value = np.zeros((hidden, k), item.dtype)
        for j in range(others.shape[0]):
            _preprocess(gradient[i, j], others[j], logs_g[i, j], logs_o[j], log, sign)
            delta = d_scores[i, j]
            for c in range(hidden):
                base, w_log, w_sign = item[i, c], w[c, 0], w[c, 1]
                for b in range(k):
                    value = base[b] + w_log * log[b] + w_sign * sign[b]
                    passed = delta[b] if value > zero else zero
                    active[c, b] += passed
                    by_log[c, b] += passed * log[b]
                    by_sign[c, b] += passed * sign[b]
                    by_value[c, b] += passed * value
        for c in range(hidden):
            d_v[i, c] = by_value[c].sum()
            d_w[i, c, 0] = v[c] * by_log[c].sum()
            d_w[i, c, 1] = v[c] * by_sign[c].sum()
            for b in range(k):
                d_item[i, c, b] = v[c] * active[c, b]


def pair_scores(item: Tensor, others: Tensor, gradient: Tensor, w: Tensor, v: Tensor) -> Tensor:
    """Return the scores ``(n, m, k)`` of one side, differentiable in ``item``, ``w`` and ``v``.

    Parameters: ``item (n, hidden, k)``, what a code's pairs share in the first layer; ``others (m, k)``, the other
    side's codes; ``gradient (n, m)``; ``w (hidden, 2)`` and ``v (hidden,)``, the weights of the pair's inputs and of
    the output. All on CPU and of one dtype.
    """
    scores: Tensor = _PairScores.apply(item, others, gradient, w, v)  # type: ignore[no-untyped-call]
    return scores


class _PairScores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, item: Tensor, others: Tensor, gradient: Tensor, w: Tensor, v: Tensor) -> Tensor:
        logs = [t.abs().clamp_min(_TINIEST).log() / PRECISION for t in (others, gradient)]
        inputs = [t.detach().contiguous() for t in (item, others, gradient, *logs, w, v)]
        ctx.save_for_backward(*inputs)
        scores = torch.empty((*gradient.shape, others.shape[1]), dtype=item.dtype)
        _forward(*(t.numpy() for t in inputs), scores.numpy())
        return scores

    @staticmethod
    def backward(ctx: Any, d_scores: Tensor) -> tuple[Tensor | None, ...]:
        inputs = ctx.saved_tensors
        item, w = inputs[0], inputs[5]
        d_item = torch.empty_like(item)
        d_w = torch.empty((len(item), *w.shape), dtype=w.dtype)
        d_v = torch.empty((len(item), len(w)), dtype=w.dtype)
        arrays = [t.numpy() for t in (*inputs, d_scores.contiguous(), d_item, d_w, d_v)]
        _backward(*arrays)
        return d_item, None, None, d_w.sum(0), d_v.sum(0)
