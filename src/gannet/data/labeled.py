"""Labeled images, and the base class of data sets, which other distributions extend to add their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ImageSource
from gannet.errors import GannetError


@dataclass(frozen=True)
class LabeledImages:
    """Images with labels. The labels judge a method; no method learns from them.

    Parameters
    ----------
    name : str
        Name of the data set, such as ``cifar10``.
    source : ImageSource
        The images.
    labels : ndarray of shape (n,) or (n, n_labels)
        One class per image, as numbers or names, or several: bool, True for each label that an image has. In the order
        of the source.
    class_names : tuple of str, default=()
        One name per class number, or per label.
    parts : mapping of str to ndarray of shape (n_part,), dtype int64, default={}
        Rows of the official split: ``query``, ``database`` and, if it differs from the database, ``train``. Empty if
        the data set has no official split.
    note : str, default=""
        Where the data set was found.
    attempts : tuple of str, default=()
        What was tried before, one line each, with the reason why it failed.

    Raises
    ------
    GannetError
        If the labels do not fit the images.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import ArraySource, LabeledImages
    >>> labels = np.array([0, 1, 1])
    >>> source = ArraySource("gray://", np.zeros((3, 8, 8), np.uint8), {"all": 3}, labels, ["cat", "dog"])
    >>> len(LabeledImages("gray", source, labels, ("cat", "dog")))
    3
    """

    name: str
    source: ImageSource
    labels: NDArray[Any]
    class_names: tuple[str, ...] = ()
    parts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    note: str = ""
    attempts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.ndim not in (1, 2) or len(self.labels) != len(self.source):
            raise GannetError(
                f"the labels of {self.name} have shape {self.labels.shape}; it has {len(self.source):,} images, and "
                "needs one class or one row of labels for each"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_test(self) -> NDArray[np.bool_] | None:
        """True for the images of the official test part; None if there is no official split."""
        return np.isin(np.arange(len(self)), self.parts["query"]) if "query" in self.parts else None


class Dataset(ABC):
    """A labeled data set that has a name. ``gannet bench NAME`` compares methods on it.

    Subclasses set ``name`` and implement `load`. A subclass is made without arguments. Other distributions name their
    subclasses in the entry-point group ``gannet.sources``.

    Attributes
    ----------
    name : str
        Unique name, such as ``fashion-mnist``.
    """

    name: ClassVar[str]

    @abstractmethod
    def load(self, path: str | None = None) -> LabeledImages:
        """Return the images and their labels.

        Parameters
        ----------
        path : str, default=None
            Path of the data set; if None, the data set decides where to look.

        Returns
        -------
        LabeledImages
            The data set.

        Raises
        ------
        GannetError
            If the data set is missing, incomplete or damaged.
        """


def split_parts(is_test: NDArray[np.bool_] | None) -> dict[str, NDArray[np.int64]]:
    """Return the test part as queries and the rest as database; no parts if ``is_test`` is None."""
    return {} if is_test is None else {"query": np.flatnonzero(is_test), "database": np.flatnonzero(~is_test)}
