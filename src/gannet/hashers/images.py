"""Base classes of methods that learn from images: from several views of each, or from their pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError
from gannet.hashers.base import Hasher
from gannet.hashers.takes import FromPixels, FromViews

Pixels = npt.NDArray[np.uint8]

_MOST_VIEWS = 1000


class ViewsHasher(Hasher):
    """Base class of methods that learn from features of several random views of each image.

    They learn from features ``(n, n_views, n_features)`` and encode features ``(n, n_features)`` of unchanged images.

    Parameters
    ----------
    n_views : int, default=4
        Random views of each image.

    Attributes
    ----------
    original_first : bool
        Whether the first view of each image is the unchanged image.
    """

    original_first: ClassVar[bool] = False
    sample_size: ClassVar[int] = 10_000

    n_views: int = 4

    @property
    def takes(self) -> FromViews:
        """Kind of the training data; raises a `GannetError` for less than two views."""
        return FromViews(self._enough(self.n_views), self.original_first)

    def _enough(self, n_views: int) -> int:
        if n_views < 2:
            raise GannetError(f"{self.name} compares views of an image: give at least 2 of each, not {n_views}")
        if n_views > _MOST_VIEWS:
            raise GannetError(f"n_views must be at most {_MOST_VIEWS:,}, not {n_views:,}")
        return n_views

    def _checked(self, X: npt.ArrayLike, reset: bool) -> npt.NDArray[Any]:
        if not reset:
            return super()._checked(X, reset)
        views = checked_views(self.name, X, lambda rows: super(ViewsHasher, self)._checked(rows, reset))
        self._enough(views.shape[1])
        return views

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array = False, True
        return tags


class PixelHasher(Hasher):
    """Base class of methods that learn from and encode images, uint8 ``(n, side, side, 3)``.

    Attributes
    ----------
    side : int
        Height and width in pixels of the images.
    """

    side: ClassVar[int]
    sample_size: ClassVar[int] = 10_000

    @property
    def takes(self) -> FromPixels:
        """Kind of the training data."""
        return FromPixels(self.side)

    def _checked(self, X: npt.ArrayLike, reset: bool) -> Pixels:
        pixels = np.asarray(X)
        shape = (self.side, self.side, 3)
        if pixels.ndim != 4 or pixels.dtype != np.uint8:
            raise learns_from_images(self.name, f"uint8 pixels (n, {', '.join(map(str, shape))})")
        if pixels.shape[1:] != shape:
            raise GannetError(f"{self.name} reads images of {shape}, not of {pixels.shape[1:]}: resize them")
        return np.ascontiguousarray(pixels)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        return tags


def checked_views(
    name: str, X: npt.ArrayLike, check: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
) -> npt.NDArray[Any]:
    """Return features of views ``(n, n_views, d)`` for the method ``name``, whose rows ``(n * n_views, d)`` pass."""
    views = np.asarray(X)
    if views.ndim != 3:
        raise learns_from_images(name, "features of views (n, n_views, n_features)")
    n_rows = views.shape[0] * views.shape[1]
    return check(views.reshape(n_rows, views.shape[2])).reshape(views.shape)


def learns_from_images(name: str, arrays: str | None = None) -> GannetError:
    """Return the error for features given to the method ``name``, which learns from images, or from ``arrays``."""
    given = "a folder or an archive of them" if arrays is None else arrays
    return GannetError(
        f"{name} learns from images: give {given}, or take a method that learns from features, such as uhga"
    )
