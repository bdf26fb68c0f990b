"""Labels of the items of a source, to measure MAP with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.data import ImageSource, MatrixSource
from gannet.data.base import is_file, reading
from gannet.data.class_folders import folder_classes
from gannet.errors import GannetError

OWN = "source"
"""Given in place of a file, it stands for the labels that the source itself has."""


def read_labels(source: ImageSource | MatrixSource, where: str) -> npt.NDArray[Any]:
    """Return the labels of all items of a source.

    Parameters
    ----------
    source : ImageSource or MatrixSource
        All items, not a sample of them.
    where : str
        A text file with one class per line, or an .npy file of classes ``(n,)`` or of 0/1 rows ``(n, n_labels)``, in
        the order of the items. The word ``source`` takes the labels of an official data set, or the class folders that
        the images lie in.

    Returns
    -------
    ndarray of shape (n,) or (n, n_labels)
        Class numbers or names, or 0/1 rows.

    Raises
    ------
    GannetError
        If there is no such file, if it does not hold one label per item, or if the source has no labels of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import ArraySource
    >>> from gannet.evaluation.advice import read_labels
    >>> pixels = np.zeros((3, 8, 8), np.uint8)
    >>> source = ArraySource("gray://", pixels, {"all": 3}, np.array([0, 1, 1]), ["cat", "dog"])
    >>> read_labels(source, "source")
    array([0, 1, 1])
    """
    if where == OWN:
        return _own(source)
    if not is_file(where):
        raise GannetError(f"--labels {where} is no file: give a file with one class per line, or `source`")
    with reading("is not a file of labels, one class per line", where):
        if where.lower().endswith(".npy"):
            labels: npt.NDArray[Any] = np.load(where, allow_pickle=False)
        else:
            labels = np.array([line.strip() for line in Path(where).read_text("utf-8-sig").splitlines()], str)
    if labels.ndim not in (1, 2) or len(labels) != len(source):
        raise GannetError(
            f"{where} holds labels of shape {labels.shape}, and {source.name} has {len(source):,} items: give one "
            "label per item, in the order of the items"
        )
    if labels.dtype.kind == "U" and (labels == "").any():
        raise GannetError(f"line {int((labels == '').argmax()) + 1} of {where} is empty: give every item a class")
    return labels


def _own(source: ImageSource | MatrixSource) -> npt.NDArray[Any]:
    if isinstance(source, MatrixSource):
        raise GannetError(
            f"{source.name} is a matrix, which has no labels of its own: give a file with one class per line"
        )
    if source.labels is not None:
        return source.labels
    return folder_classes(source)[0]
