"""How a source is read: the choices that `open_source` and the command line offer."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

#: Entries of folders and archives that are left out by default: hidden files, and what systems add beside pictures.
DEFAULT_EXCLUDE = (".*", "@eaDir", "#recycle", "#snapshot", "@Recycle", "$RECYCLE.BIN", "*.photoslibrary", "__MACOSX")


#: Largest number of items that are held out of training.
MOST_HELD_OUT = 1000


@dataclass(frozen=True)
class Sample:
    """A random sample of the items of a source: those to learn from, and those to hold out.

    Parameters
    ----------
    size : int
        Number of items to learn from. One for every ten of them, at most 1,000, is drawn in addition to be held out.
    seed : int or None
        Seed of the random numbers; with None, each call draws other items.

    Examples
    --------
    >>> from gannet.data import Sample
    >>> Sample(100, seed=0).rows(1_000_000).shape
    (110,)
    """

    size: int
    seed: int | None

    def rows(self, n_items: int) -> NDArray[np.int64] | None:
        """Return the places of the sample among ``n_items``, ascending; None for all items if there are no more.

        Parameters
        ----------
        n_items : int
            Number of items of the source.

        Returns
        -------
        ndarray of shape (n,), dtype int64, or None
            The places.
        """
        wanted = self.size + min(MOST_HELD_OUT, self.size // 10)
        if n_items <= wanted:
            return None
        return np.sort(np.random.default_rng(self.seed).choice(n_items, wanted, replace=False))


@dataclass(frozen=True)
class ReadOptions:
    """How a source is read.

    Parameters
    ----------
    features : tuple of str, default=()
        Of a matrix: names or patterns (``f*``) of the columns of features, or the name of the array in an .npz file.
        If empty, they are found by their types and names.
    names : str, default=None
        Of a matrix: the column or array that names the items, or the path of a text file with one name per line.
    skip_nan : bool, default=False
        Of a matrix: whether rows with NaN, infinity or missing values are left out and counted.
    exclude : tuple of str, default=()
        Of images: patterns of files and folders that are left out, in addition to `DEFAULT_EXCLUDE`. An empty pattern
        turns the default ones off.
    truncated : bool, default=False
        Of images: whether pictures that are cut off are read as far as they go.
    sample : Sample, default=None
        Of a matrix: the random rows that are read; None for all.
    """

    features: tuple[str, ...] = ()
    names: str | None = None
    skip_nan: bool = False
    exclude: tuple[str, ...] = ()
    truncated: bool = False
    sample: Sample | None = None

    def rows(self, n_items: int) -> NDArray[np.int64] | None:
        """Return the places, ascending, of the items to read among ``n_items``; None for all of them."""
        return None if self.sample is None else self.sample.rows(n_items)

    def given(self) -> list[str]:
        """Return the names of the options that differ from their defaults."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


#: Options that concern matrices, and those that concern images.
MATRIX_OPTIONS = frozenset({"features", "names", "skip_nan", "sample"})
IMAGE_OPTIONS = frozenset({"exclude", "truncated"})
