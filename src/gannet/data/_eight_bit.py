"""From any Pillow image to 8-bit RGB or RGBA, in strips, so that large images are never converted as a whole."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: Larger images are reduced while they are converted.
LARGE_PIXELS = 1 << 24

_STRIP_PIXELS = 1 << 21
_SAMPLE_PIXELS = 1 << 20
_LEVELS = (255, 1023, 4095, 16383, 65535)
_NO_VALUE = 1e30  # larger values are markers of missing ones, such as -3.4e38
_GAP = 10
_LEAST_RANGE = 1 / 8  # 16-bit values that span less of the range, as of a thermal camera, are nearly one gray
_MIN_SAMPLE_VALUE, _MAX_SAMPLE_VALUE, _S_MIN, _S_MAX, _GDAL_NODATA = 280, 281, 340, 341, 42113

_GROUNDS = (255, 0, 128)
_NEAR = 48
_MOST_NEAR = 0.25


def to_8_bit(image: Image.Image, wanted: int) -> Image.Image:
    """Return a decoded image in RGB, or in RGBA if it has transparency.

    A large image is reduced by the factor that `reduction` gives.
    """
    factor = reduction(image.size, wanted)
    convert = _converter(image)
    if factor == 1 and image.width * image.height <= LARGE_PIXELS:
        return convert(image)
    out: Image.Image | None = None
    for top, strip in strips(image, factor):
        small = convert(strip).reduce(factor)
        if out is None:
            out = Image.new(small.mode, (-(-image.width // factor), -(-image.height // factor)))
        out.paste(small, (0, top // factor))
    assert out is not None  # an image has at least one row
    return out


def reduction(size: tuple[int, int], wanted: int) -> int:
    """Return the whole factor by which a large image is reduced, which leaves both sides at least 2 x ``wanted``."""
    return max(1, min(size) // (2 * wanted)) if size[0] * size[1] > LARGE_PIXELS else 1


def on_ground(image: Image.Image) -> Image.Image:
    """Return an RGB image: transparent pixels are blended with white, or with a ground that the drawing differs from.

    The ground is white, unless a quarter of the border between visible and transparent parts is nearly white, as in a
    drawing in white on transparency; then it is black, or gray if the border is black and white.
    """
    if image.mode == "RGB":
        return image
    ground = _ground(np.asarray(image))
    return Image.alpha_composite(Image.new("RGBA", image.size, (ground, ground, ground, 255)), image).convert("RGB")


def _ground(pixels: NDArray[np.uint8]) -> int:
    """Return the gray value, of those tried in order, that differs from the colors beside the transparent parts."""
    alpha = pixels[..., 3].astype(np.int16)
    border, shares = 0, np.zeros(len(_GROUNDS))
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        steps = np.abs(alpha[first] - alpha[second])
        is_first = alpha[first] >= alpha[second]
        colors = np.where(is_first[..., None], pixels[first], pixels[second])[..., :3].astype(np.int16)
        shares += [steps[np.abs(colors - ground).max(axis=2) < _NEAR].sum() for ground in _GROUNDS]
        border += int(steps.sum())
    good = [place for place in range(len(_GROUNDS)) if shares[place] <= _MOST_NEAR * border]
    return _GROUNDS[good[0] if good else int(shares.argmin())]


def strips(image: Image.Image, factor: int) -> Iterator[tuple[int, Image.Image]]:
    """Yield the image in strips of whole rows, each with its first row, a multiple of ``factor``."""
    rows = max(1, _STRIP_PIXELS // (image.width * factor)) * factor
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    """Return the function that converts a strip of this image."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        low, high = _gray_range(image)
        return lambda strip: _from_gray(np.asarray(strip), low, high)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return lambda strip: strip.convert(mode)


def _from_gray(values: NDArray[Any], low: float, high: float) -> Image.Image:
    """Return gray values scaled from ``low`` and ``high`` to 0 and 255; NaN becomes 0."""
    scale = 255 / (high - low) if high > low else 0.0
    with np.errstate(invalid="ignore", over="ignore"):
        gray = (np.clip(np.nan_to_num(values.astype(np.float64), nan=low), low, high) - low) * scale
    return Image.fromarray(np.rint(gray).astype(np.uint8)).convert("RGB")


def _gray_range(image: Image.Image) -> tuple[float, float]:
    """Return the values of black and white of an image with more than 8 bits per gray value."""
    step = max(1, round((image.width * image.height / _SAMPLE_PIXELS) ** 0.5))
    values = np.concatenate([np.asarray(strip)[::step, ::step].ravel() for _, strip in strips(image, step)])
    values = values.astype(np.float64)
    values = values[np.isfinite(values) & (np.abs(values) < _NO_VALUE) & (values != tiff_tag(image, _GDAL_NODATA))]
    if not len(values):
        return 0.0, 0.0
    if image.mode.startswith("I;16"):
        white = _white_level(values, tiff_tag(image, _MAX_SAMPLE_VALUE))
        low, high = np.percentile(values, (0.1, 99.9))
        return (float(low), float(high)) if 0 < high - low < _LEAST_RANGE * white else (0.0, white)
    values = _without_markers(values)
    for first, last in ((_S_MIN, _S_MAX), (_MIN_SAMPLE_VALUE, _MAX_SAMPLE_VALUE)):
        low, high = tiff_tag(image, first), tiff_tag(image, last)
        if low < high and _fits(values, low, high):
            return low, high
    low, high = float(values.min()), float(values.max())
    p1, p99 = np.percentile(values, (1, 99))
    if p99 > p1 and high - low > 2 * _GAP * (p99 - p1):  # a few values far from the others
        return max(low, float(2 * p1 - p99)), min(high, float(2 * p99 - p1))
    return low, high


def _white_level(values: NDArray[np.float64], declared: float) -> float:
    """Return the value of white in 16-bit gray, for the depth of 8, 10, 12, 14 or 16 bits that nearly all need."""
    rest = values[values < values.max()]
    if len(rest) and values.max() - rest.max() > _GAP * rest.max() > 0:
        values = rest
    largest = float(np.percentile(values, 99.9))
    if largest <= declared <= _GAP * largest:
        return declared
    return float(next((level for level in _LEVELS if level >= largest), _LEVELS[-1]))


def _without_markers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the values without the lowest or highest one where it lies far outside the others, such as -9999."""
    for _ in range(3):
        low, high = values.min(), values.max()
        for markers in ([low], [high], [low, high]):
            rest = values[~np.isin(values, markers)]
            spread = float(np.ptp(rest)) if len(rest) else 0.0
            if spread > 0 and all(np.abs(rest - marker).min() > _GAP * spread for marker in markers):
                values = rest
                break
    return values


def _fits(values: NDArray[np.float64], low: float, high: float) -> bool:
    """Return whether a declared range holds most of the values and is not far wider than they are."""
    inside = values[(values >= low) & (values <= high)]
    return 2 * len(inside) >= len(values) and float(np.ptp(inside)) * _GAP >= high - low


def tiff_tag(image: Image.Image, number: int) -> float:
    """Return the number that a TIFF tag holds; NaN if there is none."""
    with contextlib.suppress(Exception):  # tags hold anything
        value = image.tag_v2[number]  # type: ignore[attr-defined]
        return float(value[0] if isinstance(value, tuple) else value)
    return float("nan")
