"""Views: the same in every run, of the right size, and what each change does, one at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gannet.backbones.augment import Mirrored, RandomView, View, _gaussian, random_views

STILL = {"least_area": 1.0, "p_jitter": 0.0, "p_grey": 0.0, "p_blur": 0.0}


@pytest.fixture
def picture() -> np.ndarray:
    patches = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return patches.repeat(4, axis=0).repeat(4, axis=1)


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 20), st.integers(0, 3), st.binary(max_size=20))
@settings(max_examples=60, deadline=None)
def test_any_view_of_any_square(size: int, side: int, number: int, seed: int, name: bytes) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    kept = pixels.copy()
    view = RandomView(number, seed)
    result = view.apply(pixels, size, name)
    assert result.shape == (size, size, 3) and result.dtype == np.uint8
    np.testing.assert_array_equal(view.apply(pixels, size, name), result)
    np.testing.assert_array_equal(pixels, kept)


def test_views_differ_by_number_seed_and_image(picture: np.ndarray) -> None:
    views = [*random_views(8), *random_views(8, seed=1)]
    made = {view.apply(picture, 16, image).tobytes() for view in views for image in (b"one", b"other")}
    names = {view.digest(image) for view in views for image in (b"one", b"other")}
    assert len(made) > 30 and len(names) == 32 and {len(name) for name in names} == {16}
    kinds = [View(), Mirrored(), RandomView(0), RandomView(0, least_area=0.6)]
    assert len({kind.digest(b"one") for kind in kinds}) == 4


def test_plain_and_mirrored(picture: np.ndarray) -> None:
    assert View().apply(picture, 24, b"") is picture and View().digest(b"name") == b"name"
    mirrored = Mirrored().apply(picture, 24, b"")
    np.testing.assert_array_equal(mirrored, np.flip(picture, axis=1))
    np.testing.assert_array_equal(Mirrored().apply(mirrored, 24, b""), picture)


def test_crops_hold_at_least_the_area_within_their_ratio() -> None:
    random = np.random.default_rng(0)
    boxes = [RandomView(0)._crop(100, random) for _ in range(500)]
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 100 and 0 <= top < bottom <= 100
        width, height = right - left, bottom - top
        assert 0.48 <= width * height / 100**2 <= 1 and 0.72 <= width / height <= 1.4
    assert len(set(boxes)) > 400
    assert RandomView(0, least_area=1)._crop(7, random) == (0, 0, 7, 7)


def test_half_of_the_views_are_mirrored_and_nothing_else_is_done_to_them(picture: np.ndarray) -> None:
    results = [RandomView(i, **STILL).apply(picture, 24, b"") for i in range(200)]
    straight = sum(np.array_equal(result, picture) for result in results)
    mirrored = sum(np.array_equal(result, np.flip(picture, axis=1)) for result in results)
    assert straight + mirrored == 200 and 70 < straight < 130


def test_gray_has_one_channel_and_colors_move_within_their_range(picture: np.ndarray) -> None:
    gray = RandomView(0, **{**STILL, "p_grey": 1.0}).apply(picture, 24, b"")
    assert (gray == gray[..., :1]).all()
    flat = np.full((8, 8, 3), 100, np.uint8)
    levels = [RandomView(i, **{**STILL, "p_jitter": 1.0}).apply(flat, 8, b"")[0, 0] for i in range(100)]
    # A flat gray has no contrast, saturation or hue: brightness alone moves it, by up to two fifths.
    assert all(level[0] == level[1] == level[2] for level in levels)
    assert 60 <= min(map(min, levels)) < 70 and 130 < max(map(max, levels)) <= 140


def test_a_turned_hue_keeps_lightness(picture: np.ndarray) -> None:
    view = RandomView(0, **{**STILL, "p_jitter": 1.0, "jitter": 0.0, "hue": 0.5})
    turned = view.apply(picture, 24, b"")
    assert not np.array_equal(turned, picture)
    values = [np.sort(image.max(axis=2).ravel()) for image in (turned, picture)]
    np.testing.assert_allclose(values[0].astype(int), values[1], atol=2)


@pytest.mark.parametrize("deviation", [0.1, 1.0, 2.0])
def test_the_blur_is_a_normalized_gaussian(deviation: float) -> None:
    point = np.zeros((5, 5, 3), np.uint8)
    point[2, 2] = 255
    blurred = np.asarray(Image.fromarray(point).filter(_gaussian(deviation)))[..., 0].astype(float)
    weights = [[np.exp(-(i * i + j * j) / (2 * deviation**2)) for i in (-1, 0, 1)] for j in (-1, 0, 1)]
    np.testing.assert_allclose(blurred[1:4, 1:4], 255 * np.array(weights) / np.sum(weights), atol=1)
