"""Packed codes: the order of bits, errors, and Hamming distances compared with loops over bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gannet.codes import check_codes, hamming, n_bytes, pack, unpack
from gannet.errors import GannetError

AWKWARD = [1, 7, 8, 24, 63, 64, 65, 128]


def bits_of(width: int):
    return arrays.arrays(np.bool_, st.tuples(st.integers(0, 9), st.just(width)))


any_bits = st.one_of(st.sampled_from(AWKWARD), st.integers(1, 140)).flatmap(bits_of)


@given(any_bits)
def test_packing_and_unpacking_are_inverse(bits: np.ndarray) -> None:
    n, n_bits = bits.shape
    codes = pack(bits)
    assert codes.dtype == np.uint8 and codes.shape == (n, n_bytes(n_bits))
    np.testing.assert_array_equal(unpack(codes, n_bits), bits)
    np.testing.assert_array_equal(pack(bits.astype(np.int64)), codes)


@given(any_bits)
def test_the_most_significant_bit_comes_first_and_spare_bits_are_zero(bits: np.ndarray) -> None:
    width = 8 * n_bytes(bits.shape[1])
    for row, code in zip(bits, pack(bits), strict=True):
        text = "".join("1" if bit else "0" for bit in row).ljust(width, "0")
        assert int.from_bytes(code.tobytes(), "big") == int(text, 2)


@given(st.sampled_from(AWKWARD).flatmap(lambda width: st.tuples(bits_of(width), bits_of(width))))
def test_hamming_counts_the_bits_that_differ(pair) -> None:
    a, b = pair
    distances = hamming(pack(a), pack(b))
    assert distances.dtype == np.int64 and distances.shape == (len(a), len(b))
    for i, left in enumerate(a):
        for j, right in enumerate(b):
            assert distances[i, j] == sum(x != y for x, y in zip(left, right, strict=True))


def test_a_known_code() -> None:
    np.testing.assert_array_equal(pack([[1, 0, 0, 0, 0, 0, 0, 0, 1]]), [[128, 128]])


@pytest.mark.parametrize("n_bits", [0, -1, -64])
def test_a_code_has_at_least_one_bit(n_bits: int) -> None:
    with pytest.raises(GannetError, match="at least 1 bit"):
        n_bytes(n_bits)


@pytest.mark.parametrize(
    ("bits", "message"),
    [([1, 0], "shape"), ([[[1]]], "shape"), ([[2, 0]], "0 or 1"), ([[-1, 1]], "values >= 0"), ([[0.5]], "0 or 1")],
)
def test_invalid_bits_are_refused(bits, message: str) -> None:
    with pytest.raises(GannetError, match=message):
        pack(bits)


@pytest.mark.parametrize(
    ("codes", "n_bits", "message"),
    [
        (np.zeros((2, 1), np.int64), 8, "packed uint8"),
        (np.zeros((2, 2), np.uint8), 8, r"shape \(n, 1\), not \(2, 2\)"),
        (np.zeros(2, np.uint8), 16, "shape"),
        (np.array([[0], [1]], np.uint8), 7, "bits set after bit 7"),
    ],
)
def test_codes_of_another_kind(codes, n_bits: int, message: str) -> None:
    with pytest.raises(GannetError, match=message) as error:
        check_codes(codes, n_bits, "these")
    assert str(error.value).startswith("these ")
    with pytest.raises(GannetError):
        unpack(codes, n_bits)


def test_checked_codes_are_contiguous() -> None:
    codes = np.zeros((4, 6), np.uint8)[::2, ::2]
    assert check_codes(codes, 24).flags.c_contiguous
