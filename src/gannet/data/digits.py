"""scikit-learn's handwritten digits: the images that are always there."""

from __future__ import annotations

import numpy as np

from gannet.data.base import ArraySource

#: The container's name; items are named ``sklearn-digits#all/17``.
DIGITS = "sklearn-digits"


def open_digits() -> ArraySource:
    """Return the 1,797 grey images of 8 x 8 pixels, with their labels and without an official split."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    return ArraySource(DIGITS, pixels, {"all": len(pixels)}, labels, [str(label) for label in range(10)])
