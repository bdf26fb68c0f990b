"""The losses of CIBHash against slow loops, its sampled codes against their probabilities, and its training."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from gannet.codes import hamming
from gannet.errors import GannetError
from gannet.methods.cibhash import CIBHash
from gannet.training.contrastive import bernoulli_divergence, nt_xent, rounded_codes, sampled_codes


def logits(n: int, n_bits: int, seed: int = 0) -> torch.Tensor:
    return 2 * torch.randn(n, n_bits, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("n", "n_bits"), [(1, 7), (3, 1), (5, 24), (8, 65)])
def test_nt_xent_against_a_loop(n: int, n_bits: int) -> None:
    first, second = logits(n, n_bits), logits(n, n_bits, 1)
    codes = [*first.tolist(), *second.tolist()]

    def similarity(a: list[float], b: list[float]) -> float:
        lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        return math.exp(sum(x * y for x, y in zip(a, b, strict=True)) / lengths / 0.3)

    total = 0.0
    for i, code in enumerate(codes):
        partner = similarity(code, codes[(i + n) % (2 * n)])
        total -= math.log(partner / sum(similarity(code, other) for j, other in enumerate(codes) if j != i))
    assert float(nt_xent(first, second, 0.3)) == pytest.approx(total / (2 * n), rel=1e-4, abs=1e-5)


def test_nt_xent_of_codes_that_agree_and_of_codes_that_do_not() -> None:
    codes = torch.eye(4) * 2 - 1
    assert nt_xent(codes, codes, 0.3) < nt_xent(codes, codes.roll(1, dims=0), 0.3)
    # All codes the same: every one of the 2n - 1 others is as near.
    assert float(nt_xent(torch.ones(4, 6), torch.ones(4, 6), 0.3)) == pytest.approx(math.log(7), rel=1e-5)


@pytest.mark.parametrize(("n", "n_bits"), [(1, 1), (4, 7), (3, 63)])
def test_divergence_against_torch(n: int, n_bits: int) -> None:
    first, second = logits(n, n_bits), logits(n, n_bits, 1)
    distributions = (torch.distributions.Bernoulli(logits=values) for values in (first, second))
    expected = torch.distributions.kl_divergence(*distributions).sum(dim=1).mean()
    torch.testing.assert_close(bernoulli_divergence(first, second), expected, rtol=1e-4, atol=1e-6)
    assert float(bernoulli_divergence(first, first)) == 0
    assert torch.isfinite(bernoulli_divergence(100 * first, 100 * second))


def test_the_divergence_moves_the_first_distribution_alone() -> None:
    first, second = logits(3, 5).requires_grad_(), logits(3, 5, 1).requires_grad_()
    bernoulli_divergence(first, second).backward()
    assert second.grad is None and (first.grad != 0).all() and torch.isfinite(first.grad).all()


def test_sampled_codes_follow_their_probabilities_and_pass_the_gradient_to_them() -> None:
    values = torch.tensor([[-30.0, -1.0, 0.0, 1.0, 30.0]])
    codes = sampled_codes(values.expand(20_000, 5), torch.Generator().manual_seed(0))
    assert set(codes.unique().round(decimals=5).tolist()) == {-1.0, 1.0}
    np.testing.assert_allclose((codes > 0).float().mean(dim=0), values.sigmoid()[0], atol=0.015)
    for make in (rounded_codes, lambda v: sampled_codes(v, torch.Generator())):
        some = values.clone().requires_grad_()
        make(some).sum().backward()
        torch.testing.assert_close(some.grad, values.sigmoid() * (1 - values.sigmoid()))
    assert rounded_codes(values).tolist() == [[-1, -1, 1, 1, 1]]


def planted_views(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """120 items; a view adds much noise in directions that tell nothing of the item."""
    random = np.random.default_rng(seed)
    items = np.hstack([random.normal(size=(120, 8)), np.zeros((120, 24))])
    noise = np.dstack([np.zeros((120, 4, 8)), 1.5 * random.normal(size=(120, 4, 24))])
    return (items[:, None] + noise).astype(np.float32), items


@pytest.mark.parametrize("codes", ["sampled", "rounded"])
def test_training_makes_views_agree(codes: str) -> None:
    views, _ = planted_views()

    def excess(n_steps: int) -> float:
        hasher = CIBHash(24, n_steps=n_steps, hidden=64, codes=codes, learning_rate=3e-3).fit(views)
        first, second = hasher.transform(views[:, 0]), hasher.transform(views[:, 1])
        distances = hamming(first, second)
        return float(distances.mean() - np.diag(distances).mean())

    # How much nearer the other view of an item is than views of other items, in bits.
    assert excess(300) > excess(1) + 2


def test_the_bottleneck_is_weighed() -> None:
    views, _ = planted_views()
    free, tight = (CIBHash(8, n_steps=60, hidden=32, beta=beta).fit(views) for beta in (0.0, 1.0))
    # What costs information has probabilities nearer to 1/2.
    values = [np.abs(hasher.decision_function(views[:, 0])).mean() for hasher in (free, tight)]
    assert values[1] < values[0]


def test_the_encoder_is_the_network_on_scaled_inputs() -> None:
    views, items = planted_views()
    encoder = CIBHash(9, n_steps=3, hidden=16).fit(views).encoder_
    np.testing.assert_allclose(encoder.mean, views.mean(axis=(0, 1)), atol=1e-5)
    row = items[0].astype(np.float32) - encoder.mean
    hidden = [
        max(0.0, sum(float(x) * float(w) for x, w in zip(row / np.linalg.norm(row), column, strict=True)) + float(b))
        for column, b in zip(encoder.hidden_weight.T, encoder.hidden_bias, strict=True)
    ]
    expected = np.array(hidden) @ encoder.weight + encoder.bias
    np.testing.assert_allclose(encoder.values(items[:1].astype(np.float32))[0], expected, atol=1e-4)


@pytest.mark.parametrize(
    "setting", [{"codes": "samples"}, {"hidden": 0}, {"temperature": 0.0}, {"beta": -1.0}, {"batch_size": 1}]
)
def test_settings_out_of_range_are_refused(setting: dict[str, object]) -> None:
    with pytest.raises(GannetError):
        CIBHash(4, **{"n_steps": 1, **setting}).fit(planted_views()[0])


def test_one_view_teaches_nothing() -> None:
    with pytest.raises(GannetError, match="at least 2 of each, not 1"):
        CIBHash(4).fit(planted_views()[0][:, :1])
