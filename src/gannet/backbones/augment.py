"""Views of an image: unchanged, mirrored, or changed at random. Random views are the same in every run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class View:
    """The unchanged image. Other views are subclasses: frozen dataclasses, whose fields are part of their identity."""

    enlarged: ClassVar[float] = 1.0
    """Ratio of the size of the image that a view is made from to the size of the view."""

    def digest(self, image: bytes) -> bytes:
        """Return 16 bytes that identify this view of the image with the content digest ``image``."""
        return image

    def apply(self, pixels: Pixels, size: int, image: bytes) -> Pixels:
        """Return the view, ``(size, size, 3)`` uint8.

        ``pixels`` is the image as a square, RGB uint8, whose side is `enlarged` times ``size``. ``image`` is its
        digest.
        """
        return pixels


@dataclass(frozen=True)
class Mirrored(View):
    """The image with left and right exchanged."""

    def digest(self, image: bytes) -> bytes:
        """Return the digest of the view."""
        return _digest(self, image)

    def apply(self, pixels: Pixels, size: int, image: bytes) -> Pixels:
        """Return the mirrored pixels."""
        return np.ascontiguousarray(pixels[:, ::-1])


@dataclass(frozen=True)
class RandomView(View):
    """A random crop, resized, mirrored, recolored and blurred: the views of CIBHash (Qiu et al., IJCAI 2021).

    The steps, in order: a crop of ``least_area`` to all of the area, with an aspect ratio from 3/4 to 4/3; mirrored in
    half of the views; with probability ``p_jitter``, in random order, brightness, contrast and saturation multiplied
    by 1 - ``jitter`` to 1 + ``jitter`` and hue shifted by up to ``hue`` of the color circle; made gray with probability
    ``p_grey``; blurred with probability ``p_blur`` by a 3 x 3 Gaussian with a standard deviation of 0.1 to 2 pixels.
    The defaults are those of the authors' code. The same ``number``, ``seed`` and image always give the same view.
    """

    enlarged = 1.5  # about sqrt(1 / least_area): a small crop is seldom magnified

    number: int
    seed: int = 0
    least_area: float = 0.5
    p_jitter: float = 0.7
    jitter: float = 0.4
    hue: float = 0.1
    p_grey: float = 0.2
    p_blur: float = 0.5

    def digest(self, image: bytes) -> bytes:
        """Return the digest of the view."""
        return _digest(self, image)

    def apply(self, pixels: Pixels, size: int, image: bytes) -> Pixels:
        """Return the random view of the square ``pixels``."""
        random = np.random.default_rng(int.from_bytes(self.digest(image)))
        box = self._crop(len(pixels), random)
        view = Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR, box=box)
        if random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if random.random() < self.p_jitter:
            view = self._recolor(view, random)
        if random.random() < self.p_grey:
            view = view.convert("L").convert("RGB")
        if random.random() < self.p_blur:
            view = view.filter(_gaussian(random.uniform(0.1, 2.0)))
        return np.array(view, np.uint8)

    def _crop(self, side: int, random: np.random.Generator) -> tuple[int, int, int, int]:
        """Return the corners of the crop; the whole image if ten tries give no crop that fits into it."""
        for _ in range(10):
            area = random.uniform(self.least_area, 1) * side * side
            ratio = np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
            width, height = round(np.sqrt(area * ratio)), round(np.sqrt(area / ratio))
            if 0 < width <= side and 0 < height <= side:
                left, top = (int(random.integers(side - length + 1)) for length in (width, height))
                return left, top, left + width, top + height
        return 0, 0, side, side

    def _recolor(self, view: Image.Image, random: np.random.Generator) -> Image.Image:
        enhancers = ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color, None
        for place in random.permutation(len(enhancers)):
            enhancer = enhancers[place]
            if enhancer is None:
                view = _turn_hue(view, random.uniform(-self.hue, self.hue))
            else:
                view = enhancer(view).enhance(random.uniform(1 - self.jitter, 1 + self.jitter))
        return view


def random_views(n_views: int, seed: int = 0) -> list[RandomView]:
    """Return ``n_views`` different random views."""
    return [RandomView(number, seed) for number in range(n_views)]


def _turn_hue(view: Image.Image, turn: float) -> Image.Image:
    hue, saturation, value = view.convert("HSV").split()
    moved = hue.point([(level + round(255 * turn)) % 256 for level in range(256)])
    return Image.merge("HSV", (moved, saturation, value)).convert("RGB")


def _gaussian(deviation: float) -> ImageFilter.Kernel:
    line = np.exp(-0.5 * (np.arange(-1, 2) / deviation) ** 2)
    return ImageFilter.Kernel((3, 3), np.outer(line, line).ravel().tolist())


def _digest(view: View, image: bytes) -> bytes:
    # The text contains the fields, names included: renaming one would change all random views.
    return hashlib.blake2b(f"{view} ".encode() + image, digest_size=16).digest()
