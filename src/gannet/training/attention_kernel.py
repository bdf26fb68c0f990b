"""Gradient attention on CPU, fused: no array of pairs x bits x hidden ever exists.

Plain tensor code stores the hidden layer of every pair and bit, on both sides, and is bound by memory. Here the hidden
layer lives in registers and the backward pass computes it again: time is bound by arithmetic, and the one large
array kept is the weight of each pair and bit.

The kernels are single loops over rows of pairs and release the interpreter lock; `_over_rows` gives each thread a range
of rows. (Compiler-managed thread pools beside torch's own spin against it whenever a core is busy.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gannet import threads
from gannet.compiled import jit
from gannet.training.preprocessing import PRECISION

_GROWTH = math.exp(PRECISION)
_TINIEST = 1e-30  # stands for zero in logarithms; any value under e^-p would do
_compile = jit(fastmath=True, error_model="numpy")


def weigh(
    item_a: Tensor, item_b: Tensor, codes_a: Tensor, codes_b: Tensor, gradient: Tensor, w: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted derivatives ``(n, k)`` and ``(m, k)``, differentiable in the items, ``w`` and ``v``.

    The score of a side of pair ``(i, j)`` and bit b is ``v . relu(item_b + w rho(pair derivative))``.

    Parameters: ``item_a (n, hidden, k)`` and ``item_b (hidden, m, k)``, what a code's pairs share in the first layer;
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
        d_item_b, d_w, d_v = (torch.from_numpy(sum(part)) for part in zip(*parts, strict=True))
        return d_item_a, d_item_b, None, None, None, d_w, d_v


@_compile
def _preprocess(gradients: Any, others: Any, logs_g: Any, logs_o: Any, step: int, log: Any, sign: Any) -> None:
    """Write rho of ``gradients[j] * others[j * step]`` for a tile of pairs into ``log`` and ``sign (tile, k)``.

    The logarithm of the product is the sum of logarithms taken once per pair and once per code and bit. With step 0
    all pairs share one code.
    """
    one, growth = gradients.dtype.type(1), gradients.dtype.type(_GROWTH)
    for j in range(len(gradients)):
        g, log_g, other, log_other = gradients[j], logs_g[j], others[j * step], logs_o[j * step]
        row_log, row_sign = log[j], sign[j]
        for b in range(other.shape[0]):
            value = g * other[b]
            size = log_g + log_other[b]
            row_log[b] = max(size, -one)
            row_sign[b] = math.copysign(one, value) if size >= -one else value * growth


@_compile
def _add_scores(base: Any, w_log: Any, w_sign: Any, out: Any, log: Any, sign: Any, scores: Any) -> None:
    """Add one hidden unit's share of one side's scores, over a flat tile of pairs and bits."""
    zero = base.dtype.type(0)
    for x in range(scores.shape[0]):
        scores[x] += out * max(base[x] + w_log * log[x] + w_sign * sign[x], zero)


@_compile
def _add_derivatives(base: Any, w_log: Any, w_sign: Any, delta: Any, log: Any, sign: Any, active: Any) -> Any:
    """Add one hidden unit's derivative in ``base`` to ``active``; return its sums for the weights."""
    zero = base.dtype.type(0)
    by_log, by_sign, by_value = zero, zero, zero
    for x in range(active.shape[0]):
        value = base[x] + w_log * log[x] + w_sign * sign[x]
        passed = delta[x] if value > zero else zero
        active[x] += passed
        by_log += passed * log[x]
        by_sign += passed * sign[x]
        by_value += passed * value
    return by_log, by_sign, by_value


@_compile
def _score_difference(
    item_a: Any, codes_a: Any, logs_a: Any, gradient: Any, logs_g: Any, difference: Any,
    item_b: Any, codes_b: Any, logs_b: Any, w: Any, v: Any,
) -> None:  # fmt: skip
    """Write score_a - score_b of every pair and bit into ``difference (n, m, k)``."""
    n, hidden, k = item_a.shape
    m = item_b.shape[1]
    tile = _tile(m, k)
    log, sign = np.empty((tile, k), item_a.dtype), np.empty((tile, k), item_a.dtype)
    flat_log, flat_sign = log.reshape(-1), sign.reshape(-1)
    flat_item_b = item_b.reshape((hidden, m * k))
    for i in range(n):
        repeated = _repeated(item_a[i], tile)
        flat = difference[i].reshape(-1)
        flat[:] = 0
        for j in range(0, m, tile):
            end = min(j + tile, m)
            size = (end - j) * k
            scores = flat[j * k : end * k]
            _preprocess(gradient[i, j:end], codes_b[j:end], logs_g[i, j:end], logs_b[j:end], 1, log, sign)
            for c in range(hidden):
                _add_scores(repeated[c, :size], w[c, 0], w[c, 1], v[c], flat_log[:size], flat_sign[:size], scores)
            _preprocess(gradient[i, j:end], codes_a[i : i + 1], logs_g[i, j:end], logs_a[i : i + 1], 0, log, sign)
            for c in range(hidden):
                base = flat_item_b[c, j * k : end * k]
                _add_scores(base, w[c, 0], w[c, 1], -v[c], flat_log[:size], flat_sign[:size], scores)


@_compile
def _differentiate(
    item_a: Any, codes_a: Any, logs_a: Any, gradient: Any, logs_g: Any, weight_a: Any, d_weighted_a: Any, d_item_a: Any,
    item_b: Any, codes_b: Any, logs_b: Any, d_weighted_b: Any, w: Any, v: Any,
) -> Any:  # fmt: skip
    """Write ``d_item_a`` and return this range's share of ``d_item_b`` and of the derivatives in ``w`` and ``v``."""
    n, hidden, k = item_a.shape
    m = item_b.shape[1]
    tile = _tile(m, k)
    log, sign = np.empty((tile, k), item_a.dtype), np.empty((tile, k), item_a.dtype)
    delta = np.empty((tile, k), item_a.dtype)
    flat_log, flat_sign, flat_delta = log.reshape(-1), sign.reshape(-1), delta.reshape(-1)
    flat_item_b, d_item_b = item_b.reshape((hidden, m * k)), np.zeros((hidden, m * k), item_a.dtype)
    d_w, d_v = np.zeros_like(w), np.zeros_like(v)
    for i in range(n):
        repeated = _repeated(item_a[i], tile)
        active = np.zeros_like(repeated)
        for j in range(0, m, tile):
            end = min(j + tile, m)
            size = (end - j) * k
            for t in range(end - j):
                twice, alpha, ahead, others = (
                    2 * gradient[i, j + t],
                    weight_a[i, j + t],
                    d_weighted_b[j + t],
                    codes_b[j + t],
                )
                row = delta[t]
                for b in range(k):
                    pull = d_weighted_a[i, b] * others[b] - ahead[b] * codes_a[i, b]
                    row[b] = twice * alpha[b] * (1 - alpha[b]) * pull
            _preprocess(gradient[i, j:end], codes_b[j:end], logs_g[i, j:end], logs_b[j:end], 1, log, sign)
            for c in range(hidden):
                sums = _add_derivatives(
                    repeated[c, :size], w[c, 0], w[c, 1], flat_delta[:size], flat_log[:size], flat_sign[:size],
                    active[c, :size],
                )  # fmt: skip
                d_w[c, 0] += v[c] * sums[0]
                d_w[c, 1] += v[c] * sums[1]
                d_v[c] += sums[2]
            _preprocess(gradient[i, j:end], codes_a[i : i + 1], logs_g[i, j:end], logs_a[i : i + 1], 0, log, sign)
            for x in range(size):
                flat_delta[x] = -flat_delta[x]
            for c in range(hidden):
                sums = _add_derivatives(
                    flat_item_b[c, j * k : end * k], w[c, 0], w[c, 1], flat_delta[:size], flat_log[:size],
                    flat_sign[:size], d_item_b[c, j * k : end * k],
                )  # fmt: skip
                d_w[c, 0] += v[c] * sums[0]
                d_w[c, 1] += v[c] * sums[1]
                d_v[c] += sums[2]
        for c in range(hidden):
            d_item_a[i, c] = v[c] * active[c].reshape((tile, k)).sum(axis=0)
    for c in range(hidden):
        d_item_b[c] *= v[c]
    return d_item_b.reshape((hidden, m, k)), d_w, d_v


@_compile
def _tile(m: int, k: int) -> int:
    """Return how many pairs to take at a time: loops long enough to run at full speed, few enough for the cache."""
    return max(1, min(m, 512 // k))


@_compile
def _repeated(item: Any, times: int) -> Any:
    """Return an item ``(hidden, k)`` side by side ``times`` times: the same for every pair of a tile."""
    hidden, k = item.shape
    repeated = np.empty((hidden, times * k), item.dtype)
    for c in range(hidden):
        for t in range(times):
            repeated[c, t * k : (t + 1) * k] = item[c]
    return repeated


def _over_rows(kernel: Callable[..., Any], by_row: list[Any], shared: list[Any]) -> list[Any]:
    """Call ``kernel(*rows, *shared)`` on equal ranges of the arrays in ``by_row``, one a thread."""
    n = len(by_row[0])
    parts = min(threads.cores(), n)
    ranges = [slice(n * t // parts, n * (t + 1) // parts) for t in range(parts)]
    calls = [threads.pool().submit(kernel, *(array[part] for array in by_row), *shared) for part in ranges]
    return [call.result() for call in calls]
