"""Gradient attention on CPU, fused: no array of pairs x bits x hidden ever exists.

Plain tensor code stores the hidden layer of every pair and bit, on both sides, and is bound by memory. Here the hidden
layer lives in registers and the backward pass computes it again: time is bound by arithmetic, and the one large
array kept is the weight of each pair and bit.

The kernels are single loops over rows of pairs and release the interpreter lock; `_over_rows` gives each thread a range
of rows. (Compiler-managed thread pools beside torch's own spin against it whenever a core is busy.)
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor

from gannet.training.preprocessing import PRECISION

_GROWTH = math.exp(PRECISION)
_TINIEST = 1e-30  # stands for zero in logarithms; any value under e^-p would do
_compile = functools.partial(numba.njit, nogil=True, fastmath=True, cache=True, error_model="numpy")


def weigh(
    item_a: Tensor, item_b: Tensor, codes_a: Tensor, codes_b: Tensor, gradient: Tensor, w: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted derivatives ``(n, k)`` and ``(m, k)``, differentiable in the items, ``w`` and ``v``.

    The score of a side of pair ``(i, j)`` and bit b is ``v . relu(item_b + w rho(pair derivative))``.

    Parameters: ``item_a (n, hidden, k)`` and ``item_b (m, hidden, k)``, what a code's pairs share in the first layer;
    ``codes_a (n, k)``, ``codes_b (m, k)`` and ``gradient (n, m)`` as for `GradientAttention`; ``w (hidden, 2)`` and
    ``v (hidden,)``, the weights of the pair's inputs and of the output. All on CPU, of one dtype.
    """
    weighted: tuple[Tensor, Tensor] = _Weigh.apply(item_a, item_b, codes_a, codes_b, gradient, w, v)  # type: ignore[no-untyped-call]
    return weighted


class _Weigh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        item_a, item_b, codes_a, codes_b, gradient, w, v = (t.detach().contiguous() for t in inputs)
        logs = [t.abs().clamp_min(_TINIEST).log() / PRECISION for t in (codes_a, codes_b, gradient)]
        shared = [t.numpy() for t in (item_b, codes_b, logs[1], w, v)]
        difference = torch.empty((*gradient.shape, codes_a.shape[1]), dtype=gradient.dtype)
        rows = [t.numpy() for t in (item_a, codes_a, logs[0], gradient, logs[2], difference)]
        _over_rows(_score_difference, rows, shared)
        # The softmax over a pair's two scores is a sigmoid of their difference.
        weight_a = difference.sigmoid_()
        share_a = 2 * gradient[:, :, None] * weight_a
        weighted_a = (share_a * codes_b).sum(dim=1)
        weighted_b = 2 * gradient.T @ codes_a - share_a.mul_(codes_a[:, None]).sum(dim=0)
        ctx.save_for_backward(item_a, item_b, codes_a, codes_b, gradient, w, v, *logs, weight_a)
        return weighted_a, weighted_b

    @staticmethod
    def backward(ctx: Any, d_weighted_a: Tensor, d_weighted_b: Tensor) -> tuple[Tensor | None, ...]:
        item_a, item_b, codes_a, codes_b, gradient, w, v, log_a, log_b, log_g, weight_a = ctx.saved_tensors
        d_item_a = torch.empty_like(item_a)
        rows = [
            t.numpy() for t in (item_a, codes_a, log_a, gradient, log_g, weight_a, d_weighted_a.contiguous(), d_item_a)
        ]
        shared = [t.numpy() for t in (item_b, codes_b, log_b, d_weighted_b.contiguous(), w, v)]
        parts = _over_rows(_differentiate, rows, shared)
        d_item_b, by_log, by_sign, by_value = (torch.from_numpy(sum(part)) for part in zip(*parts, strict=True))
        d_w = torch.stack([by_log.sum(1), by_sign.sum(1)], dim=1) * v[:, None]
        return d_item_a, d_item_b, None, None, None, d_w, by_value.sum(1)


@_compile(inline="always")
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


@_compile(inline="always")
def _add_scores(item: Any, w: Any, v: Any, log: Any, sign: Any, factor: Any, scores: Any) -> None:
    """Add ``factor`` times one side's scores of a pair to ``scores (k,)``."""
    zero = item.dtype.type(0)
    for c in range(item.shape[0]):
        base, w_log, w_sign, out = item[c], w[c, 0], w[c, 1], v[c] * factor
        for b in range(scores.shape[0]):
            scores[b] += out * max(base[b] + w_log * log[b] + w_sign * sign[b], zero)


@_compile
def _score_difference(
    item_a: Any, codes_a: Any, logs_a: Any, gradient: Any, logs_g: Any, difference: Any,
    item_b: Any, codes_b: Any, logs_b: Any, w: Any, v: Any,
) -> None:  # fmt: skip
    """Write score_a - score_b of every pair and bit into ``difference (n, m, k)``."""
    log, sign = np.empty_like(codes_a[0]), np.empty_like(codes_a[0])
    plus, minus = item_a.dtype.type(1), item_a.dtype.type(-1)
    for i in range(item_a.shape[0]):
        for j in range(item_b.shape[0]):
            scores = difference[i, j]
            scores[:] = 0
            _preprocess(gradient[i, j], codes_b[j], logs_g[i, j], logs_b[j], log, sign)
            _add_scores(item_a[i], w, v, log, sign, plus, scores)
            _preprocess(gradient[i, j], codes_a[i], logs_g[i, j], logs_a[i], log, sign)
            _add_scores(item_b[j], w, v, log, sign, minus, scores)


@_compile(inline="always")
def _add_derivatives(
    item: Any, w: Any, log: Any, sign: Any, delta: Any, active: Any, by_log: Any, by_sign: Any, by_value: Any
) -> None:
    """Add one side's share of one pair to the sums, each ``(hidden, k)``; ``delta (k,)`` is d loss / d score."""
    zero = item.dtype.type(0)
    for c in range(item.shape[0]):
        base, w_log, w_sign = item[c], w[c, 0], w[c, 1]
        for b in range(delta.shape[0]):
            value = base[b] + w_log * log[b] + w_sign * sign[b]
            passed = delta[b] if value > zero else zero
            active[c, b] += passed
            by_log[c, b] += passed * log[b]
            by_sign[c, b] += passed * sign[b]
            by_value[c, b] += passed * value


@_compile
def _differentiate(
    item_a: Any, codes_a: Any, logs_a: Any, gradient: Any, logs_g: Any, weight_a: Any, d_weighted_a: Any, d_item_a: Any,
    item_b: Any, codes_b: Any, logs_b: Any, d_weighted_b: Any, w: Any, v: Any,
) -> Any:  # fmt: skip
    """Write ``d_item_a`` and return this range's share of ``d_item_b`` and of the sums for ``w`` and ``v``."""
    hidden, k = item_a.shape[1:]
    log, sign, delta = np.empty_like(codes_a[0]), np.empty_like(codes_a[0]), np.empty_like(codes_a[0])
    d_item_b, by_log = np.zeros_like(item_b), np.zeros((hidden, k), item_a.dtype)
    by_sign, by_value = np.zeros_like(by_log), np.zeros_like(by_log)
    for i in range(item_a.shape[0]):
        active_a = d_item_a[i]
        active_a[:] = 0
        for j in range(item_b.shape[0]):
            g, alpha = gradient[i, j], weight_a[i, j]
            for b in range(k):
                pull = d_weighted_a[i, b] * codes_b[j, b] - d_weighted_b[j, b] * codes_a[i, b]
                delta[b] = 2 * g * alpha[b] * (1 - alpha[b]) * pull
            _preprocess(g, codes_b[j], logs_g[i, j], logs_b[j], log, sign)
            _add_derivatives(item_a[i], w, log, sign, delta, active_a, by_log, by_sign, by_value)
            for b in range(k):
                delta[b] = -delta[b]
            _preprocess(g, codes_a[i], logs_g[i, j], logs_a[i], log, sign)
            _add_derivatives(item_b[j], w, log, sign, delta, d_item_b[j], by_log, by_sign, by_value)
        for c in range(hidden):
            active_a[c] *= v[c]
    for c in range(hidden):
        d_item_b[:, c] *= v[c]
    return d_item_b, by_log, by_sign, by_value


def _over_rows(kernel: Callable[..., Any], by_row: list[Any], shared: list[Any]) -> list[Any]:
    """Call ``kernel(*rows, *shared)`` on equal ranges of the arrays in ``by_row``, one a thread."""
    n = len(by_row[0])
    threads = min(_n_threads(), n)
    ranges = [slice(n * t // threads, n * (t + 1) // threads) for t in range(threads)]
    calls = [_pool().submit(kernel, *(array[part] for array in by_row), *shared) for part in ranges]
    return [call.result() for call in calls]


@functools.cache
def _n_threads() -> int:
    return min(os.cpu_count() or 1, 16)


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_n_threads(), thread_name_prefix="gannet-attention")
