"""Labelled data sets for the demo and the benchmarks: where they lie, and how to get them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ArraySource, ImageSource
from gannet.data.cifar import CIFAR10_CLASSES
from gannet.data.digits import open_digits
from gannet.data.download import cache_folder, fetch_cifar10, fetch_fashion_mnist
from gannet.data.sources import open_source
from gannet.errors import GannetError

#: The ten classes of Fashion-MNIST, by label.
FASHION_MNIST_CLASSES = (
    "t-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_CIFAR10_NAMES = (
    "cifar-10-batches-py",
    "cifar-10-python.tar.gz",
    "cifar10*",
    "cifar-10*",
    "CIFAR10*",
    "CIFAR-10*",
)
_FASHION_MNIST_NAMES = ("fashion-mnist", "fashion_mnist", "FashionMNIST/raw", "FashionMNIST")
_DEBIAN_DATASETS = Path("/usr/share/datasets")


@dataclass(frozen=True)
class LabelledImages:
    """Images with one class each. The labels judge a method; no method sees them.

    Attributes:
        name: the set's name, such as ``cifar10``.
        source: the images.
        labels: (n,) int64 class numbers, in the source's order.
        class_names: one name for each class number.
        is_test: (n,) bool, True for the test part; None where the set has no official split.
        note: where the set was found.
        attempts: what was tried before, one line each, with the reason why it failed.
    """

    name: str
    source: ImageSource
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    is_test: NDArray[np.bool_] | None
    note: str
    attempts: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


def find_dataset() -> LabelledImages:
    """Return the first real labelled set that can be had, and say in ``attempts`` what could not.

    In this order: CIFAR-10, then Fashion-MNIST, in ``$GANNET_DATA`` (which may be the set itself), ``./data``,
    Gannet's cache folder and Debian's data folder; the official download of CIFAR-10; Debian's package of
    Fashion-MNIST; scikit-learn's digits, which are always there.
    """
    attempts: list[str] = []
    tries: tuple[tuple[str, Callable[[], LabelledImages]], ...] = (
        ("CIFAR-10 on this computer", _local_cifar10),
        ("Fashion-MNIST on this computer", _local_fashion_mnist),
        ("CIFAR-10 from its official site", _fetched_cifar10),
        ("Fashion-MNIST from Debian", _fetched_fashion_mnist),
    )
    for what, load in tries:
        try:
            return replace(load(), attempts=tuple(attempts))
        except GannetError as error:
            attempts.append(f"{what}: {error}")
    return replace(load_digits(), attempts=tuple(attempts))


def load_cifar10(path: str | os.PathLike[str] | None = None) -> LabelledImages:
    """Return CIFAR-10: 50,000 training and 10,000 test images of 32 x 32 pixels.

    Args:
        path: the official archive or folder, or class folders (``train/airplane/0000.jpg``) in a folder or a
            zip archive. None looks where `find_dataset` does, and then downloads the official archive.

    Raises:
        GannetError: it is not there, not CIFAR-10, or damaged.
    """
    if path is not None:
        return _as_cifar10(Path(path))
    return _first(_local_cifar10, _fetched_cifar10)


def load_fashion_mnist(path: str | os.PathLike[str] | None = None) -> LabelledImages:
    """Return Fashion-MNIST: 60,000 training and 10,000 test images of 28 x 28 grey pixels.

    Args:
        path: the folder of the four IDX files. None looks where `find_dataset` does, and then fetches
            Debian's package ``dataset-fashion-mnist``, which needs no root.

    Raises:
        GannetError: it is not there, or damaged.
    """
    if path is not None:
        return _as_fashion_mnist(Path(path))
    return _first(_local_fashion_mnist, _fetched_fashion_mnist)


def load_digits() -> LabelledImages:
    """Return scikit-learn's digits: 1,797 grey images of 8 x 8 pixels, without an official split."""
    return _of_array("digits", open_digits(), "in scikit-learn")


def load_class_folders(path: str | os.PathLike[str]) -> LabelledImages:
    """Return the images of class folders, ``CLASS/x.jpg`` or ``train/CLASS/x.jpg`` and ``test/CLASS/x.jpg``.

    Args:
        path: a folder or a zip archive. Folders below a class folder count to the class.

    Raises:
        GannetError: an image lies outside a class folder, or the path holds no images.
    """
    source = open_source(path)
    if not isinstance(source, ImageSource) or source.labels is not None:
        raise GannetError(f"{path} is not a folder or .zip of class folders")
    parts = _without_common_folder([member.split("/") for member in source.members])
    tops = {part[0] for part in parts if len(part) > 1}
    is_test = None
    if tops & {"train", "test"}:
        if tops - {"train", "test"}:
            extra = sorted(tops - {"train", "test"})[0]
            raise GannetError(f"{path} has a folder {extra!r} beside train and test; move it into one of them")
        is_test = np.array([part[0] == "test" for part in parts])
        parts = [part[1:] for part in parts]
    outside = next((i for i, part in enumerate(parts) if len(part) < 2), None)
    if outside is not None:
        raise GannetError(f"{source.paths[outside]} lies outside a class folder; put it into CLASS/ or train/CLASS/")
    class_names, labels = np.unique([part[0] for part in parts], return_inverse=True)
    return LabelledImages(
        name=Path(source.name).stem,
        source=source,
        labels=labels.astype(np.int64),
        class_names=tuple(class_names.tolist()),
        is_test=is_test,
        note=f"class folders in {source.container}",
    )


def _without_common_folder(parts: list[list[str]]) -> list[list[str]]:
    """Drop the folder that an archive often wraps around the class folders."""
    while len({part[0] for part in parts}) == 1 and parts[0][0] not in ("train", "test"):
        if min(len(part) for part in parts) < 3:
            break
        parts = [part[1:] for part in parts]
    return parts


def _as_cifar10(path: Path) -> LabelledImages:
    source = open_source(path)
    if isinstance(source, ArraySource) and source.class_names == CIFAR10_CLASSES:
        return _of_array("cifar10", source, f"official archive in {source.container}")
    found = load_class_folders(path)
    if found.class_names != CIFAR10_CLASSES or found.is_test is None:
        raise GannetError(f"{path} is not CIFAR-10: it needs train/ and test/ with the folders airplane to truck")
    return replace(found, name="cifar10")


def _as_fashion_mnist(path: Path) -> LabelledImages:
    source = open_source(path)
    if not isinstance(source, ArraySource) or len(source.class_names) != len(FASHION_MNIST_CLASSES):
        raise GannetError(f"{path} is not Fashion-MNIST: it needs the four IDX files (train-images-idx3-ubyte.gz, ...)")
    source.class_names = FASHION_MNIST_CLASSES
    return _of_array("fashion-mnist", source, f"IDX files in {source.container}")


def _of_array(name: str, source: ArraySource, note: str) -> LabelledImages:
    assert source.labels is not None  # an array source always has them
    return LabelledImages(name, source, source.labels, source.class_names, source.is_test, note)


def _first(*loads: Callable[[], LabelledImages]) -> LabelledImages:
    reasons = []
    for load in loads:
        try:
            return load()
        except GannetError as error:
            reasons.append(str(error))
    raise GannetError("; ".join(reasons))


def _local_cifar10() -> LabelledImages:
    return _local(_CIFAR10_NAMES, _as_cifar10)


def _local_fashion_mnist() -> LabelledImages:
    return _local(_FASHION_MNIST_NAMES, _as_fashion_mnist)


def _fetched_cifar10() -> LabelledImages:
    return _as_cifar10(fetch_cifar10())


def _fetched_fashion_mnist() -> LabelledImages:
    return _as_fashion_mnist(fetch_fashion_mnist())


def _local(names: tuple[str, ...], load: Callable[[Path], LabelledImages]) -> LabelledImages:
    """Load the first set of these names that is there and whole."""
    failures = []
    for path in _candidates(names):
        try:
            return load(path)
        except GannetError as error:
            failures.append(str(error))
    searched = ", ".join(str(folder) for folder in _data_folders())
    raise GannetError("; ".join(failures) or f"not in {searched}")


def _candidates(names: tuple[str, ...]) -> Iterator[Path]:
    own = os.environ.get("GANNET_DATA")
    for folder in _data_folders():
        # The patterns overlap where the file system ignores case.
        found = sorted({path for name in names for path in folder.glob(name)})
        yield from found
        if own and not found and folder == Path(own):
            yield folder


def _data_folders() -> list[Path]:
    own = os.environ.get("GANNET_DATA")
    return [*([Path(own)] if own else []), Path("data"), cache_folder(), _DEBIAN_DATASETS]
