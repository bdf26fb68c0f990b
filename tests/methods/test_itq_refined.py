"""ITQ refined against a linear decoder."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from gannet import ITQ, GannetError, ITQRefined
from gannet.encoders import flipping_costs
from gannet.evaluation import neighbor_recall


def cost(code: NDArray, product: NDArray, gram: NDArray, target: float, penalty: float) -> float:
    length = code @ gram @ code
    return float(length - 2 * product @ code + penalty * target * (length / target - 1) ** 2)


@given(st.integers(1, 9), st.integers(1, 6), st.floats(0, 5), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_values_are_the_costs_of_flipping_a_bit(n_bits: int, n: int, penalty: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    decoder = random.standard_normal((12, n_bits)).astype(np.float32) / 4
    items = random.standard_normal((n, 12)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    gram, products = decoder.T @ decoder, items @ decoder
    target = 0.5 * float(np.trace(gram)) + 0.1
    values = flipping_costs(products, gram, target, penalty)
    assert (values != 0).all()
    codes = np.where(values >= 0, 1.0, -1.0)
    for value, code, product in zip(values, codes, products, strict=True):
        lowest = cost(code, product, gram, target, penalty)
        for bit in range(n_bits):
            other = code.copy()
            other[bit] *= -1
            growth = cost(other, product, gram, target, penalty) - lowest
            assert growth == pytest.approx(abs(value[bit]), abs=1e-3) and growth > -1e-3


def test_the_number_of_items_encoded_together_does_not_matter() -> None:
    features = np.random.default_rng(0).standard_normal((5000, 16))
    hasher = ITQRefined(12).fit(features)
    codes = hasher.transform(features)
    alone = np.concatenate([hasher.transform(features[i : i + 1]) for i in range(0, 5000, 50)])
    assert (alone == codes[::50]).mean() > 0.99  # products may be rounded differently


def test_decoding_is_closer_than_that_of_itq() -> None:
    features = load_digits().data
    errors = []
    for n_refinements in (0, 1, 5):
        encoder = ITQRefined(16, n_refinements=n_refinements, penalty=0.0).fit(features).encoder_
        unit = features / np.linalg.norm(features, axis=1, keepdims=True) - encoder.mean
        unit /= np.linalg.norm(unit, axis=1, keepdims=True)
        codes = np.where(encoder.values(features.astype(np.float32)) >= 0, 1, -1)
        errors.append(float(((unit - codes @ encoder.weight.T) ** 2).sum(axis=1).mean()))
    assert errors[0] > errors[1] > errors[2]


def test_the_penalty_makes_reconstructions_equally_long() -> None:
    features = load_digits().data
    spread = []
    for penalty in (0.0, 2.0, 20.0):
        encoder = ITQRefined(24, penalty=penalty).fit(features).encoder_
        codes = np.where(encoder.values(features.astype(np.float32)) >= 0, 1, -1)
        lengths = np.linalg.norm(codes @ encoder.weight.T, axis=1)
        spread.append(lengths.std() / lengths.mean())
    assert spread[0] > 1.3 * spread[1] > 1.3 * spread[2]


def test_scores_find_more_of_the_nearest_than_those_of_itq() -> None:
    features = np.random.default_rng(0).permutation(load_digits().data).astype(np.float32)
    queries, items = features[:300], features[300:]
    recall = {}
    for hasher in (ITQ(48), ITQRefined(48)):
        hasher.fit(items)
        codes = hasher.transform(queries), hasher.transform(items)
        weights = hasher.encoder_.bit_weights(queries)
        recall[hasher.name] = neighbor_recall(*codes, queries, items, 48, k=10, n=30, query_values=weights)
    assert recall["itq-refined"] > recall["itq"] + 0.02


@pytest.mark.parametrize("settings", [{"n_refinements": -1}, {"penalty": -0.5}, {"penalty": np.nan}, {"n_bits": 65}])
def test_settings_out_of_range(settings: dict) -> None:
    with pytest.raises(GannetError, match=r"n_refinements must be|penalty must be|itq-refined makes at most one bit"):
        ITQRefined(**{"n_bits": 8, **settings}).fit(load_digits().data)
