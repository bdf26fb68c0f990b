"""A source of images and a source of vectors. Neither is a file."""

import numpy as np

from gannet.data import ImageSource, MatrixSource, SourceKind
from gannet.errors import GannetError


def color_image(seed):
    """Return 4 x 4 random patches of 8 pixels, which are red for even seeds and blue for odd ones."""
    patches = np.random.default_rng(seed).integers(0, 100, (4, 4, 3), dtype=np.uint8)
    patches[..., 0 if seed % 2 == 0 else 2] += 120
    return patches.repeat(8, axis=0).repeat(8, axis=1)


class ColorImages(ImageSource):
    """Random images, numbered from 0."""

    def __init__(self, text):
        digits = text.removeprefix("colors://")
        if not digits.isdecimal() or int(digits) == 0:
            raise GannetError(f"{text} holds no images: give their number, as in colors://40")
        super().__init__(text, [str(seed) for seed in range(int(digits))], "#")

    def read(self, index):
        return color_image(index)


class Colors(SourceKind):
    """``colors://40``: 40 random images."""

    name = "colors"
    description = "random images (colors://NUMBER)"

    def takes(self, text):
        return text.startswith("colors://")

    def open(self, text):
        return ColorImages(text)


class Numbers(SourceKind):
    """``numbers://40``: 40 random vectors."""

    name = "numbers"
    description = "random vectors (numbers://NUMBER)"
    items = "rows"

    def takes(self, text):
        return text.startswith("numbers://")

    def open(self, text):
        n = int(text.removeprefix("numbers://"))
        return MatrixSource(text, np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32))
