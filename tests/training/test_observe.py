"""Observed steps: shares of flips against a slow loop, and a training that learns the same when it is observed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gannet.hashers import get_hasher
from gannet.training.observe import ObservedStep, flip_shares


def slow_shares(before: Tensor, after: Tensor, similarity: Tensor) -> tuple[float, float]:
    n, m = similarity.shape
    old, new = (before >= 0).tolist(), (after >= 0).tolist()
    n_bits = before.shape[1]
    flips = sum(old[i][b] != new[i][b] for i in range(n + m) for b in range(n_bits))
    differing = [
        (i, n + j, b)
        for i in range(n)
        for j in range(m)
        for b in range(n_bits)
        if similarity[i, j] > 0 and old[i][b] != old[n + j][b]
    ]
    both = sum(old[i][b] != new[i][b] and old[j][b] != new[j][b] for i, j, b in differing)
    return flips / ((n + m) * n_bits), both / len(differing) if differing else 0.0


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 7, 24]))
def test_shares_equal_a_slow_loop(seed: int, n: int, m: int, n_bits: int) -> None:
    random = torch.Generator().manual_seed(seed)
    before, after = (torch.randint(-2, 3, (n + m, n_bits), generator=random).float() for _ in range(2))
    similarity = torch.randint(-1, 2, (n, m), generator=random).float()
    assert flip_shares(before, after, similarity) == pytest.approx(slow_shares(before, after, similarity))


def test_the_dilemma_is_seen() -> None:
    before = torch.tensor([[0.1], [-0.1]])
    similar, dissimilar = torch.ones(1, 1), torch.zeros(1, 1)
    assert flip_shares(before, -before, similar) == (1.0, 1.0)
    assert flip_shares(before, torch.tensor([[0.2], [0.1]]), similar) == (0.5, 0.0)
    assert flip_shares(before, -before, dissimilar) == (1.0, 0.0)


@pytest.mark.parametrize("method", ["uhga", "uhga-plain", "ssdh+ga"])
def test_a_observed_training_learns_the_same(method: str) -> None:
    features = np.random.default_rng(0).standard_normal((60, 9)).astype(np.float32)
    quick = {"n_steps": 12, "batch_size": 8}
    alone, observed = (get_hasher(method)(7, random_state=3, **quick) for _ in range(2))
    steps: list[ObservedStep] = []
    observed.observer = lambda step, encoder: steps.append(step)  # type: ignore[attr-defined]
    alone.fit(features)
    observed.fit(features)
    np.testing.assert_array_equal(alone.decision_function(features), observed.decision_function(features))
    assert [step.step for step in steps] == list(range(1, 13))
    assert all(step.loss >= 0 and 0 <= step.flipped <= 1 and 0 <= step.undone <= 1 for step in steps)
    assert "observer" not in observed.get_params()


def test_a_long_training_is_seen_a_hundred_times() -> None:
    features = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    steps: list[ObservedStep] = []
    hasher = get_hasher("uhga-plain")(2, n_steps=300, batch_size=4)
    hasher.observer = lambda step, encoder: steps.append(step)  # type: ignore[attr-defined]
    hasher.fit(features)
    assert [step.step for step in steps] == list(range(3, 301, 3))
