"""scikit-learn's handwritten digits, which need no file."""

from __future__ import annotations

import numpy as np

from gannet.data.base import ArraySource
from gannet.data.source_kind import SourceKind

_NAME = "sklearn-digits"


class SklearnDigits(SourceKind):
    """The 1,797 gray images of 8 x 8 pixels that come with scikit-learn, without an official split."""

    name = _NAME
    description = f"{_NAME} (the digits that come with scikit-learn)"

    def takes(self, text: str) -> bool:
        """Return whether the text is ``sklearn-digits``."""
        return text == _NAME

    def open(self, text: str = _NAME) -> ArraySource:
        """Return the images with their labels; items are named ``sklearn-digits#all/17``."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
        labels = digits.target.astype(np.int64)
        return ArraySource(text, pixels, {"all": len(pixels)}, labels, [str(label) for label in range(10)])
