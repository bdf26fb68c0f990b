"""Hybrid codes whose last bits are refined while the first ones stay."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from gannet import Collection, GannetError, Hybrid, HybridRefined, Model, UHGAGraph, UHGAViews, search
from gannet.codes import unpack
from gannet.encoders import flipping_costs
from gannet.evaluation import neighbor_recall
from gannet.retrieval.parts import part_index


def refined(n_bits: int = 16, **settings: object) -> HybridRefined:
    return HybridRefined(n_bits, **({"kind": "uhga-graph", "n_steps": 10} | settings))


def digits() -> np.ndarray:
    return np.random.default_rng(0).permutation(load_digits().data).astype(np.float32)


@given(st.integers(1, 8), st.integers(1, 5), st.floats(0, 5), st.integers(0, 2**32 - 1))
def test_the_costs_are_those_of_flipping_the_free_bits(n_fixed: int, n: int, penalty: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    decoder = random.standard_normal((12, n_fixed + 4)).astype(np.float32) / 4
    items = random.standard_normal((n, 12)).astype(np.float32)
    fixed = np.where(random.random((n, n_fixed)) < 0.5, np.float32(-1), np.float32(1))
    gram, target = decoder.T @ decoder, 1.5

    def cost(code: np.ndarray, product: np.ndarray) -> float:
        length = code @ gram @ code
        return float(length - 2 * product @ code + penalty * target * (length / target - 1) ** 2)

    products = items @ decoder
    values = flipping_costs(products, gram, target, penalty, fixed)
    assert values.shape == (n, 4) and (values != 0).all()
    codes = np.concatenate([fixed, np.where(values >= 0, np.float32(1), np.float32(-1))], axis=1)
    for value, code, product in zip(values, codes, products, strict=True):
        for bit in range(4):
            other = code.copy()
            other[n_fixed + bit] *= -1
            growth = cost(other, product) - cost(code, product)
            assert growth == pytest.approx(abs(value[bit]), rel=1e-2, abs=1e-2) and growth > -1e-2


def test_the_first_bits_are_those_of_the_first_method() -> None:
    features = digits()[:300]
    bits = unpack(refined().fit_transform(features), 16)
    first = UHGAGraph(8, n_steps=10).fit_transform(features)
    np.testing.assert_array_equal(bits[:, :8], unpack(first, 8))
    views = np.stack([features, features + 0.1], axis=1)
    bits = unpack(HybridRefined(16, n_steps=4).fit(views).transform(features), 16)
    alone = UHGAViews(8, n_steps=4, n_contrast_steps=4).fit(views).transform(features)
    np.testing.assert_array_equal(bits[:, :8], unpack(alone, 8))


def test_scores_find_more_of_the_nearest_than_those_of_independent_parts() -> None:
    features = digits()
    queries, items = features[:300], features[300:]
    recall = {}
    for hasher in (Hybrid(32, n_steps=100), refined(32, n_steps=100)):
        hasher.fit(items)
        codes = hasher.transform(queries), hasher.transform(items)
        weights = hasher.encoder_.bit_weights(queries)
        recall[hasher.name] = neighbor_recall(*codes, queries, items, 32, k=10, n=30, query_values=weights)
    assert recall["hybrid-refined"] > recall["hybrid"] + 0.01


def test_more_weight_for_the_nearest_finds_more_of_them() -> None:
    features = digits()
    queries, items = features[:300], features[300:]
    recalls = []
    for weight in (0.1, 0.5, 3.0):
        hasher = refined(32, n_steps=100, nearest_weight=weight).fit(items)
        weights = hasher.encoder_.bit_weights(queries)
        codes = hasher.transform(queries), hasher.transform(items)
        recalls.append(neighbor_recall(*codes, queries, items, 32, k=10, n=30, query_values=weights))
    assert recalls[0] + 0.03 < recalls[1] < recalls[2] - 0.01


def test_the_model_file_holds_both_parts(tmp_path: Path) -> None:
    features = digits()[:300]
    hasher = refined(20).fit(features)
    data = Model.of(hasher, None).to_bytes()
    model = Model.from_bytes(data)
    np.testing.assert_array_equal(model.encoder.encode(features), hasher.transform(features))
    np.testing.assert_array_equal(model.encoder.bit_weights(features), hasher.encoder_.bit_weights(features))
    assert model.to_bytes() == data
    path = tmp_path / "c.gannet"
    with Collection.create(path, model) as made:
        made.add(hasher.transform(features), [str(i) for i in range(300)])
    bits = unpack(hasher.transform(features), 20)
    with Collection.open(path, index=part_index(path, "nearest")) as opened:
        found = search(opened, ["5"], k=20)[0]["results"]
    distances = (bits[:, 10:] != bits[5, 10:]).sum(axis=1)
    assert [item["distance"] for item in found] == sorted(distances)[:20]


def test_one_bit_is_the_first_method_alone() -> None:
    features = digits()[:200]
    np.testing.assert_array_equal(refined(1).fit_transform(features), UHGAGraph(1, n_steps=10).fit_transform(features))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_refinements": -1}, "n_refinements must be at least 0"),
        ({"penalty": -1.0}, "penalty must be a number from 0 on"),
        ({"nearest_weight": 0.0}, "nearest_weight must be a number above 0"),
        ({"nearest_weight": np.inf}, "nearest_weight must be a number above 0"),
        ({"kind": "hybrid"}, "not itself or another hybrid"),
        ({"share": 1.5}, "share must be above 0 and below 1"),
    ],
)
def test_settings_out_of_range(settings: dict, words: str) -> None:
    with pytest.raises(GannetError, match=words):
        refined(8, **settings).fit(digits()[:50])
