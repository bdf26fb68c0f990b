"""The kinds of training data: features, features of several views of each image, or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FromFeatures:
    """Feature vectors ``(n, n_features)``: of images, from a backbone, or the rows of a matrix."""

    kind: ClassVar[str] = "features"

    @property
    def encodes(self) -> FromFeatures:
        """Kind of the data that the fitted method encodes: the same."""
        return self


@dataclass(frozen=True)
class FromViews:
    """Feature vectors of several views of each image, ``(n, n_views, n_features)``.

    Parameters
    ----------
    n_views : int
        Views of each image.
    original_first : bool, default=False
        Whether the first view is the unchanged image. The others are random.
    """

    kind: ClassVar[str] = "views"

    n_views: int
    original_first: bool = False

    @property
    def encodes(self) -> FromFeatures:
        """Kind of the data that the fitted method encodes: features of unchanged images."""
        return FromFeatures()


@dataclass(frozen=True)
class FromPixels:
    """Images ``(n, side, side, 3)``, uint8.

    Parameters
    ----------
    side : int
        Height and width in pixels.
    """

    kind: ClassVar[str] = "pixels"

    side: int

    @property
    def encodes(self) -> FromPixels:
        """Kind of the data that the fitted method encodes: the same."""
        return self


Takes = FromFeatures | FromViews | FromPixels

FEATURES = FromFeatures()
