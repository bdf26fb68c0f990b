from __future__ import annotations

import numpy as np
import pytest

from gannet.codes import pack
from gannet.errors import GannetError
from gannet.evaluation import evaluate
from gannet.evaluation.compat import EVALUATORS, compat_map


def data(multi_label: bool, n_bits: int = 24):
    rng = np.random.default_rng(n_bits)
    bits = rng.integers(0, 2, (12, n_bits)), rng.integers(0, 2, (300, n_bits))
    if multi_label:
        labels = (rng.random((12, 9)) < 0.15).astype(int), (rng.random((300, 9)) < 0.1).astype(int)
        labels[0][0] = 0  # no item is relevant
    else:
        labels = rng.integers(0, 40, 12), rng.integers(0, 40, 300)
        labels[0][0] = 99
    return bits, labels


def slow(bits, labels, order, stop, skip) -> float:
    """Compute MAP query by query from inner products of signs, hit by hit."""
    queries, database = (2.0 * side - 1 for side in bits)
    values = []
    for row, code in enumerate(queries):
        distances = (0.5 * (bits[0].shape[1] - database @ code)).astype(np.float32)
        hits, total = 0, 0.0
        for rank, item in enumerate(order(distances)[0:stop], start=1):
            if labels[0].ndim == 2:
                relevant = labels[0][row] @ labels[1][item] > 0
            else:
                relevant = labels[0][row] == labels[1][item]
            if relevant:
                hits += 1
                total += hits / rank
        if hits or not skip:
            values.append(total / hits if hits else 0.0)
    return float(np.mean(values))


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("top", [None, 5, 100, 1000])
@pytest.mark.parametrize("name", sorted(EVALUATORS))
def test_evaluators_equal_their_sources(name: str, top: int | None, multi_label: bool) -> None:
    bits, labels = data(multi_label)
    order = np.argsort
    if name == "fire":
        torch = pytest.importorskip("torch")

        def order(distances):
            return torch.topk(torch.tensor(distances), 300, largest=False)[1].numpy()

    stop = -1 if top is None and name == "deephash-pytorch" else top
    expected = slow(bits, labels, order, stop, skip=name == "fire" and multi_label)
    value = compat_map(name, pack(bits[0]), pack(bits[1]), *labels, 24, top)
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["deephash-pytorch", "bihalf", "cibhash"])
def test_they_lie_within_the_bounds_at_a_cutoff(name: str) -> None:
    bits, labels = data(multi_label=True, n_bits=7)
    codes = pack(bits[0]), pack(bits[1])
    result = evaluate(*codes, *labels, 7, top=50)
    assert result.map_worst <= compat_map(name, *codes, *labels, 7, top=50) <= result.map_best
    assert result.map_worst < result.map < result.map_best


def test_the_whole_ranking_of_deephash_pytorch_lacks_the_last_item() -> None:
    codes = pack(np.array([[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]))
    arguments = codes[:1], codes, [1], [1, 0, 0, 1], 3
    assert compat_map("bihalf", *arguments) == pytest.approx((1 + 2 / 4) / 2)
    assert compat_map("deephash-pytorch", *arguments) == 1


def test_fire_with_no_query_left_is_zero() -> None:
    pytest.importorskip("torch")
    codes = np.zeros((3, 1), np.uint8)
    assert compat_map("fire", codes, codes, np.zeros((3, 2)), np.ones((3, 2)), 8) == 0


def test_unknown_names_are_suggested() -> None:
    with pytest.raises(GannetError, match="did you mean 'cibhash'"):
        compat_map("cibhsh", np.zeros((1, 1), np.uint8), np.zeros((1, 1), np.uint8), [0], [0], 8)
