"""Labeled images in class folders: the folder that an image lies in is its class."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ImageSource
from gannet.data.labeled import LabeledImages, split_parts
from gannet.data.opening import open_source
from gannet.errors import GannetError


def load_class_folders(path: str | os.PathLike[str]) -> LabeledImages:
    """Return the images of class folders, ``CLASS/x.jpg``, or ``train/CLASS/x.jpg`` and ``test/CLASS/x.jpg``.

    They are in a folder or a zip archive. Images in subfolders of a class folder belong to the class. Raises a
    `GannetError` if an image lies outside a class folder, or the path holds no images.
    """
    source = open_source(path)
    if not isinstance(source, ImageSource) or source.labels is not None:
        raise GannetError(f"{path} is not a folder or .zip of class folders")
    labels, class_names, is_test = folder_classes(source)
    return LabeledImages(
        Path(source.name).stem,
        source,
        labels,
        class_names,
        split_parts(is_test),
        note=f"class folders in {source.container}",
    )


def folder_classes(source: ImageSource) -> tuple[NDArray[np.int64], tuple[str, ...], NDArray[np.bool_] | None]:
    """Return the class numbers of images in class folders, the names of the classes, and which images are in ``test``.

    The last is None without folders ``train`` and ``test``. Raises a `GannetError` as `load_class_folders`.
    """
    parts = _without_common_folder([member.split("/") for member in source.members])
    tops = {part[0] for part in parts if len(part) > 1}
    is_test = None
    if tops & {"train", "test"}:
        if tops - {"train", "test"}:
            extra = sorted(tops - {"train", "test"})[0]
            raise GannetError(f"{source.name} has a folder {extra!r} beside train and test; move it into one of them")
        is_test = np.array([part[0] == "test" for part in parts])
        parts = [part[1:] for part in parts]
    outside = next((i for i, part in enumerate(parts) if len(part) < 2), None)
    if outside is not None:
        raise GannetError(f"{source.paths[outside]} lies outside a class folder; put it into CLASS/ or train/CLASS/")
    class_names, labels = np.unique([part[0] for part in parts], return_inverse=True)
    return labels.astype(np.int64), tuple(class_names.tolist()), is_test


def _without_common_folder(parts: list[list[str]]) -> list[list[str]]:
    """Remove the folder that archives often put around the class folders."""
    while len({part[0] for part in parts}) == 1 and parts[0][0] not in ("train", "test"):
        if min(len(part) for part in parts) < 3:
            break
        parts = [part[1:] for part in parts]
    return parts
