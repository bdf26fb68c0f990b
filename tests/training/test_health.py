"""Training that goes wrong stops in one line that says what to change."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gannet import UHGA
from gannet.errors import GannetError
from gannet.methods.bihalf import BiHalf
from gannet.methods.greedyhash import GreedyHash
from gannet.training.health import FEWEST, check_health, suggest_smaller_batch


@pytest.fixture(scope="module")
def features() -> np.ndarray:
    random = np.random.default_rng(0)
    centers = random.standard_normal((6, 20))
    return (centers[np.arange(300) % 6] + 0.5 * random.standard_normal((300, 20))).astype(np.float32)


def values(n: int, k: int) -> torch.Tensor:
    return torch.randn(n, k, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("k", [1, 7, 24, 63, 65, 128])
def test_healthy_values_pass(k: int) -> None:
    check_health(values(1000, k), 1)


def test_criteria_of_a_collapse() -> None:
    collapsed = values(1000, 64)
    collapsed[:, :] = collapsed[:1]
    with pytest.raises(GannetError, match=r"collapsed by step 7: 1,000 training items have 1 different codes"):
        check_health(collapsed, 7)
    check_health(collapsed[: FEWEST - 1], 7)
    constant = values(1000, 64)
    constant[:, 4:] = 1.0  # 4 bits of 64 are alive: 16 codes, but little entropy
    with pytest.raises(GannetError, match=r"0.06 bit entropy"):
        check_health(constant, 7)
    repeated = values(1000, 1).expand(1000, 64)  # full entropy, two codes
    with pytest.raises(GannetError, match=r"2 different codes \(at least 10"):
        check_health(repeated, 7)
    check_health(repeated[:, :2], 7)  # two bits cannot be expected to make ten codes


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_no_numbers(bad: float) -> None:
    spoiled = values(3, 5)
    spoiled[1, 2] = bad
    with pytest.raises(GannetError, match=r"not a number after step 12.*lower learning_rate"):
        check_health(spoiled, 12)


@pytest.mark.parametrize("method", [UHGA, BiHalf, GreedyHash])
def test_a_training_that_diverges_stops(features: np.ndarray, method, monkeypatch: pytest.MonkeyPatch) -> None:
    step = torch.optim.Adam.step

    def diverging(self: torch.optim.Adam, *arguments: object) -> None:
        step(self, *arguments)
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.mul_(float("inf"))

    monkeypatch.setattr(torch.optim.Adam, "step", diverging)
    with pytest.raises(GannetError, match=r"not a number after step 2:.*learning_rate") as error:
        method(16, n_steps=20).fit(features)
    assert "\n" not in str(error.value)


class AllSimilar(UHGA):
    """A similarity of all pairs makes one code for everything the best answer."""

    name = "all-similar"

    def pair_similarity(self, features: np.ndarray):
        return lambda a, b: torch.ones(len(a), len(b))


def test_codes_that_collapse_in_training_stop_it(features: np.ndarray) -> None:
    with pytest.raises(GannetError, match="codes collapsed by step"):
        AllSimilar(16, learning_rate=0.1, n_steps=300).fit(features)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
@pytest.mark.parametrize("method", [UHGA, BiHalf])
def test_out_of_memory_names_a_smaller_batch(features: np.ndarray, monkeypatch, method, error: Exception) -> None:
    def step(*arguments: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    with pytest.raises(GannetError, match=r"out of memory in training with batch_size=48: .*--set batch_size=24"):
        method(8, n_steps=2, batch_size=48).fit(features)


def test_other_errors_are_not_hidden() -> None:
    with pytest.raises(RuntimeError, match="shapes"), suggest_smaller_batch(8):
        raise RuntimeError("shapes do not match")
