"""Encoders: linear functions against loops, in pieces and whole, and what they refuse."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from gannet import encoders
from gannet.codes import unpack
from gannet.encoders import Encoder, Linear, UnitLinear, center_and_normalize
from gannet.errors import GannetError


def make(kind: type[Linear], n_features: int = 5, n_bits: int = 9) -> Linear:
    random = np.random.default_rng(0)
    shapes = (n_features,), (n_features, n_bits), (n_bits,)
    return kind(*(random.standard_normal(shape).astype(np.float32) for shape in shapes))


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((13, 5)).astype(np.float32)


@pytest.mark.parametrize("kind", [Linear, UnitLinear])
@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
def test_codes_are_the_signs_of_the_values(kind, n_bits: int, features) -> None:
    encoder = make(kind, n_bits=n_bits)
    values = encoder.values(features)
    assert values.dtype == np.float32 and values.shape == (13, n_bits)
    np.testing.assert_array_equal(unpack(encoder.encode(features), n_bits), values >= 0)
    assert (encoder.n_features, encoder.n_bits) == (5, n_bits)


def test_values_against_loops(features) -> None:
    linear, unit = make(Linear), make(UnitLinear)
    for i, row in enumerate(features):
        centered = [float(x - m) for x, m in zip(row, linear.mean, strict=True)]
        length = sum(x * x for x in centered) ** 0.5
        for bit in range(9):
            plain = sum(x * float(w) for x, w in zip(centered, linear.weight[:, bit], strict=True))
            assert linear.values(features)[i, bit] == pytest.approx(plain + float(linear.bias[bit]), abs=1e-5)
            assert unit.values(features)[i, bit] == pytest.approx(plain / length + float(linear.bias[bit]), abs=1e-5)


def test_zero_is_a_one() -> None:
    encoder = Linear(np.zeros(1, np.float32), np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    np.testing.assert_array_equal(encoder.encode([[0.0], [-1.0], [1.0], [-0.0]]), [[128], [0], [128], [128]])


def test_normalized_rows_have_unit_length_and_the_mean_stays_zero(features) -> None:
    features[4] = mean = features.mean(axis=0)
    unit = center_and_normalize(features, mean)
    lengths = np.linalg.norm(unit, axis=1)
    assert lengths[4] == 0 and np.isfinite(unit).all()
    np.testing.assert_allclose(np.delete(lengths, 4), 1, rtol=1e-6)


@pytest.mark.parametrize("chunk_bytes", [1, 20, 60, 1 << 26])
def test_pieces_give_the_same_codes(monkeypatch, features, chunk_bytes: int) -> None:
    expected = make(UnitLinear).encode(features)
    monkeypatch.setattr(encoders, "CHUNK_BYTES", chunk_bytes)
    np.testing.assert_array_equal(make(UnitLinear).encode(features), expected)
    features[7, 2] = np.inf
    with pytest.raises(GannetError, match=r"row 7 of the features holds NaN or infinity"):
        make(UnitLinear).encode(features)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int8, np.int64, ">f4"])
def test_other_types_and_layouts(features, dtype) -> None:
    rounded = np.round(3 * features)
    expected = make(Linear).encode(rounded)
    np.testing.assert_array_equal(make(Linear).encode(rounded.astype(dtype)), expected)
    np.testing.assert_array_equal(make(Linear).encode(np.asfortranarray(rounded)), expected)


def test_memory_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(encoders, "CHUNK_BYTES", 1 << 16)
    features = np.zeros((1, 64)).repeat(50_000, axis=0)
    tracemalloc.start()
    try:
        make(UnitLinear, 64, 16).encode(features)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("shape", [(3, 4), (3, 6), (5,), (1, 1, 5), (0, 4)])
def test_features_of_another_length(shape) -> None:
    with pytest.raises(GannetError, match=r"must have shape \(n, 5\) as in training"):
        make(Linear).encode(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_no_numbers(features, value, recwarn) -> None:
    wide = features.astype(np.float64)
    wide[3, 1], wide[5, 0] = value, -value
    with pytest.raises(GannetError, match="row 3 of the features"):
        make(Linear).encode(wide)
    assert not recwarn.list


def test_the_largest_numbers_are_finite() -> None:
    rows = np.full((2, 5), np.finfo(np.float32).max)
    encoders.check_finite(rows)


def test_no_rows_give_no_codes() -> None:
    assert make(Linear).encode(np.zeros((0, 5))).shape == (0, 2)


def test_kinds_are_found_by_name_and_arrays_make_the_same_encoder(features) -> None:
    for kind in (Linear, UnitLinear):
        encoder = make(kind)
        again = Encoder.kinds[kind.kind](**encoder.arrays())
        assert type(again) is kind
        np.testing.assert_array_equal(again.encode(features), encoder.encode(features))
