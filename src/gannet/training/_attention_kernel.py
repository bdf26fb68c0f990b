"""Fused gradient attention on CPU, without any array of pairs x bits x hidden units.

Plain tensor code stores the hidden layer of every pair and bit on both sides, and is bound by memory. These kernels
keep the hidden layer in registers and compute it again in the backward pass, so that they are bound by arithmetic. The
only large array they keep holds the weight of each pair and bit.

The kernels are loops over rows of pairs and release the interpreter lock; `_over_rows` gives each thread a range of
rows. (A thread pool of the compiler would compete with torch's own pool whenever a core is busy.)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gannet.support import threads
from gannet.support.compiled import jit
from gannet.training.preprocessing import PRECISION

_GROWTH = math.exp(PRECISION)
_TINIEST = 1e-30  # replaces zero in logarithms; any value below e^-p would do
_compile = jit(fastmath=True, error_model="numpy")


def weigh(
    item_a: Tensor, item_b: Tensor, codes_a: Tensor, codes_b: Tensor, gradient: Tensor, w: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the weighted derivatives ``(n, k)`` and ``(m, k)``, differentiable in the items, ``w`` and ``v``.

    The score of a side of pair ``(i, j)`` and bit b is ``v . relu(item_b + w rho(pair derivative))``.

    ``item_a (hidden, n, k)`` and ``item_b (hidden, m, k)`` are the parts of the first layer that the pairs of a code
    share; ``codes_a (n, k)``, ``codes_b (m, k)`` and ``gradient (n, m)`` are those of `GradientAttention`; ``w (hidden,
    2)`` and ``v (hidden,)`` are the weights of the pair's inputs and of the output. All are on CPU and have one dtype.
    """
    weighted: tuple[Tensor, Tensor] = _Weigh.apply(item_a, item_b, codes_a, codes_b, gradient, w, v)  # type: ignore[no-untyped-call]
    return weighted


class _Weigh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        item_a, *others = (t.detach() for t in inputs)
        item_a, item_b, codes_a, codes_b, gradient, w, v = (t.contiguous() for t in (item_a.transpose(0, 1), *others))
        logs = [t.abs().clamp_min(_TINIEST).log() / PRECISION for t in (codes_a, codes_b, gradient)]
        shared = [t.numpy() for t in (item_b, codes_b, logs[1], w, v)]
        weight_a = torch.empty((*gradient.shape, codes_a.shape[1]), dtype=gradient.dtype)
        weighted_a = torch.empty_like(codes_a)
        rows = [t.numpy() for t in (item_a, codes_a, logs[0], gradient, logs[2], weight_a, weighted_a)]
        weighted_b = torch.from_numpy(sum(_over_rows(_weigh_rows, rows, shared)))
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
        return d_item_a.transpose(0, 1), d_item_b, None, None, None, d_w, d_v


def _weigh_rows(
    item_a: Any, codes_a: Any, logs_a: Any, gradient: Any, logs_g: Any, weight_a: Any, weighted_a: Any,
    item_b: Any, codes_b: Any, logs_b: Any, w: Any, v: Any,
) -> Any:  # fmt: skip
    """Write the weights of side A and its weighted derivatives; return these rows' share of those of side B."""
    _score_difference(item_a, codes_a, logs_a, gradient, logs_g, weight_a, item_b, codes_b, logs_b, w, v)
    # The softmax over a pair's two scores is a sigmoid of their difference.
    torch.from_numpy(weight_a).sigmoid_()
    return _sum_shares(weight_a, codes_a, gradient, weighted_a, codes_b)


@_compile
def _preprocess(gradients: Any, others: Any, logs_g: Any, logs_o: Any, step: int, log: Any, sign: Any) -> None:
    """Write rho of ``gradients[j] * others[j * step]`` for a tile of pairs into ``log`` and ``sign (tile, k)``.

    The logarithm of a product is the sum of logarithms that are computed once per pair and once per code and bit. With
    step 0, all pairs share one code.
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
def _add_scores(base: Any, start: int, w: Any, v: Any, log: Any, sign: Any, scores: Any) -> None:
    """Add ``v . relu(base + w rho)`` of all hidden units to one side's scores, over a flat tile of pairs and bits.

    ``base (hidden, at least start + x)`` is read from column ``start``; ``w (hidden, 2)``, ``v (hidden,)``; ``log``,
    ``sign`` and ``scores (x,)``.
    """
    hidden, end = len(v), start + len(scores)
    in_fours = hidden - hidden % 4
    # Four units at a time, so that rho and the scores are read once for four units.
    for c in range(0, in_fours, 4):
        here = (base[c, start:end], base[c + 1, start:end], base[c + 2, start:end], base[c + 3, start:end])
        _add_four(here, w[c : c + 4], v[c : c + 4], log, sign, scores)
    for c in range(in_fours, hidden):
        _add_one(base[c, start:end], w[c, 0], w[c, 1], v[c], log, sign, scores)


@_compile
def _add_four(base: Any, w: Any, v: Any, log: Any, sign: Any, scores: Any) -> None:
    base_0, base_1, base_2, base_3 = base
    zero = base_0.dtype.type(0)
    (p0, q0), (p1, q1), (p2, q2), (p3, q3) = w[0], w[1], w[2], w[3]
    v0, v1, v2, v3 = v[0], v[1], v[2], v[3]
    for x in range(scores.shape[0]):
        by_log, by_sign = log[x], sign[x]
        scores[x] += (
            v0 * max(base_0[x] + p0 * by_log + q0 * by_sign, zero)
            + v1 * max(base_1[x] + p1 * by_log + q1 * by_sign, zero)
            + v2 * max(base_2[x] + p2 * by_log + q2 * by_sign, zero)
            + v3 * max(base_3[x] + p3 * by_log + q3 * by_sign, zero)
        )


@_compile
def _add_one(base: Any, p: Any, q: Any, v: Any, log: Any, sign: Any, scores: Any) -> None:
    zero = base.dtype.type(0)
    for x in range(scores.shape[0]):
        scores[x] += v * max(base[x] + p * log[x] + q * sign[x], zero)


@_compile
def _add_derivatives(base: Any, start: int, w: Any, delta: Any, log: Any, sign: Any, active: Any, d_w: Any) -> None:
    """Add the derivatives of one side's scores in the hidden units to ``active`` and in ``w`` to ``d_w``.

    ``active`` has the layout of ``base``, and ``delta (x,)`` is the derivative in the scores. The caller multiplies the
    derivatives by ``v``.
    """
    end = start + len(delta)
    for c in range(len(w)):
        by_log, by_sign = _add_derivative(base[c, start:end], w[c, 0], w[c, 1], delta, log, sign, active[c, start:end])
        d_w[c, 0] += by_log
        d_w[c, 1] += by_sign


@_compile
def _add_derivative(base: Any, p: Any, q: Any, delta: Any, log: Any, sign: Any, active: Any) -> Any:
    zero = base.dtype.type(0)
    by_log, by_sign = zero, zero
    for x in range(active.shape[0]):
        passed = delta[x] if base[x] + p * log[x] + q * sign[x] > zero else zero
        active[x] += passed
        by_log += passed * log[x]
        by_sign += passed * sign[x]
    return by_log, by_sign


@_compile
def _sum_shares(weight_a: Any, codes_a: Any, gradient: Any, weighted_a: Any, codes_b: Any) -> Any:
    """Write ``weighted_a (n, k)``, sums of ``2 alpha_A g^A`` over pairs; return these rows' share of ``weighted_b``."""
    n, m, k = weight_a.shape
    weighted_b = np.zeros_like(codes_b)
    for i in range(n):
        code, total = codes_a[i], weighted_a[i]
        total[:] = 0
        for j in range(m):
            twice, weights, other, share = 2 * gradient[i, j], weight_a[i, j], codes_b[j], weighted_b[j]
            for b in range(k):
                of_a = twice * weights[b]
                total[b] += of_a * other[b]
                share[b] += (twice - of_a) * code[b]
    return weighted_b


@_compile
def _score_difference(
    item_a: Any, codes_a: Any, logs_a: Any, gradient: Any, logs_g: Any, difference: Any,
    item_b: Any, codes_b: Any, logs_b: Any, w: Any, v: Any,
) -> None:  # fmt: skip
    """Write ``score_a - score_b`` of every pair and bit into ``difference (n, m, k)``."""
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
            _add_scores(repeated, 0, w, v, flat_log[:size], flat_sign[:size], scores)
            _preprocess(gradient[i, j:end], codes_a[i : i + 1], logs_g[i, j:end], logs_a[i : i + 1], 0, log, sign)
            _add_scores(flat_item_b, j * k, w, -v, flat_log[:size], flat_sign[:size], scores)


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
            _add_derivatives(repeated, 0, w, flat_delta[:size], flat_log[:size], flat_sign[:size], active, d_w)
            _preprocess(gradient[i, j:end], codes_a[i : i + 1], logs_g[i, j:end], logs_a[i : i + 1], 0, log, sign)
            for x in range(size):
                flat_delta[x] = -flat_delta[x]
            _add_derivatives(flat_item_b, j * k, w, flat_delta[:size], flat_log[:size], flat_sign[:size], d_item_b, d_w)
        for c in range(hidden):
            of_item = active[c].reshape((tile, k)).sum(axis=0)
            d_v[c] += (of_item * item_a[i, c]).sum()
            d_item_a[i, c] = v[c] * of_item
    # As relu(z) = z for positive z, the derivative in v is the sum of those in the parts of z.
    for c in range(hidden):
        d_v[c] += (d_item_b[c] * flat_item_b[c]).sum() + w[c, 0] * d_w[c, 0] + w[c, 1] * d_w[c, 1]
        d_item_b[c] *= v[c]
        d_w[c] *= v[c]
    return d_item_b.reshape((hidden, m, k)), d_w, d_v


@_compile
def _tile(m: int, k: int) -> int:
    """Return the number of pairs per tile: enough for loops at full speed, few enough for the cache."""
    return max(1, min(m, 512 // k))


@_compile
def _repeated(item: Any, times: int) -> Any:
    """Return an item ``(hidden, k)`` repeated ``times`` times side by side, once per pair of a tile."""
    hidden, k = item.shape
    repeated = np.empty((hidden, times * k), item.dtype)
    for c in range(hidden):
        for t in range(times):
            repeated[c, t * k : (t + 1) * k] = item[c]
    return repeated


def _over_rows(kernel: Callable[..., Any], by_row: list[Any], shared: list[Any]) -> list[Any]:
    """Call ``kernel(*rows, *shared)`` on equal ranges of the arrays in ``by_row``, one range per thread."""
    n = len(by_row[0])
    parts = max(1, min(threads.cores(), n))
    results: list[Any] = [None] * parts

    def work(numbers: Iterator[int]) -> None:
        for t in numbers:
            part = slice(n * t // parts, n * (t + 1) // parts)
            results[t] = kernel(*(array[part] for array in by_row), *shared)

    threads.share(range(parts), work)
    return results
