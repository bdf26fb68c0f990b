"""What every source of pictures offers: names, reading one picture, and what was left out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.images import RawImage
from gannet.errors import GannetError

#: Larger files are refused before they are read into memory.
MAX_FILE_BYTES = 1 << 29


@dataclass(frozen=True)
class Skipped:
    """Something a source left out, and why."""

    path: str
    reason: str


class ImageSource(ABC):
    """Pictures that can be listed by name and read one at a time, from several threads at once.

    Attributes:
        name: a short name for people.
        container: the folder, archive or set that the items lie in (an absolute path where it has one).
        members: names of the items within the container.
        paths: full names of the items; `gannet.data.read_item` reads one back.
        skipped: what was found and left out when the source was listed.
        labels: (n,) int64 class numbers, in official data sets alone; else None.
        class_names: one name for each class number, where there are labels.
        is_test: (n,) bool, True for the official test part, where there is one; else None.
    """

    def __init__(
        self,
        container: str,
        members: Sequence[str],
        separator: str,
        skipped: Sequence[Skipped] = (),
    ) -> None:
        self.name = Path(container).name or container
        self.container = container
        self.members = list(members)
        self.paths = [f"{container}{separator}{member}" for member in self.members]
        self.skipped = list(skipped)
        self.labels: NDArray[np.int64] | None = None
        self.class_names: tuple[str, ...] = ()
        self.is_test: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.members)

    @abstractmethod
    def read(self, index: int) -> RawImage:
        """Return picture ``index`` as it lies in the source.

        Raises:
            GannetError: it cannot be read; the message is the reason alone, without the name.
        """

    def find(self, path: str) -> int:
        """Return the index of the item with this full name.

        Raises:
            GannetError: there is none.
        """
        try:
            return self._index[path]
        except KeyError:
            raise GannetError(f"no such picture: {path}") from None

    @cached_property
    def _index(self) -> dict[str, int]:
        return {path: index for index, path in enumerate(self.paths)}


class Subset(ImageSource):
    """Some pictures of another source, under their own full names.

    Args:
        source: where they are.
        indices: (n,) which ones, in the order wanted.
    """

    def __init__(self, source: ImageSource, indices: Sequence[int] | NDArray[np.int64]) -> None:
        self._source = source
        self._indices = [int(i) for i in indices]
        super().__init__(source.container, [source.members[i] for i in self._indices], "/")
        self.paths = [source.paths[i] for i in self._indices]
        self.labels = None if source.labels is None else source.labels[self._indices]
        self.class_names = source.class_names

    def read(self, index: int) -> RawImage:
        """Return picture ``index`` of the subset."""
        return self._source.read(self._indices[index])


class ArraySource(ImageSource):
    """Pictures of one size in one array, in parts (such as train and test) that follow one another.

    Args:
        container: the file or folder they came from, or the name of the set.
        pixels: (n, h, w) grey or (n, h, w, 3) RGB, uint8.
        parts: name and length of each part; its items are named ``CONTAINER#PART/17``.
        labels: (n,) int64 class numbers.
        class_names: one name for each class number.
    """

    def __init__(
        self,
        container: str,
        pixels: NDArray[np.uint8],
        parts: Mapping[str, int],
        labels: NDArray[np.int64],
        class_names: Sequence[str],
    ) -> None:
        members = [f"{part}/{index}" for part, count in parts.items() for index in range(count)]
        super().__init__(container, members, "#")
        self.labels = labels
        self.class_names = tuple(class_names)
        if "test" in parts:
            self.is_test = np.repeat([part == "test" for part in parts], list(parts.values()))
        self._pixels = pixels

    def read(self, index: int) -> NDArray[np.uint8]:
        """Return picture ``index`` as (h, w, 3) uint8."""
        picture = self._pixels[index]
        if picture.ndim == 2:
            picture = np.repeat(picture[:, :, None], 3, axis=2)
        return np.ascontiguousarray(picture)


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path without ``.`` and ``..``; links are kept as they are named."""
    return os.path.normpath(Path(path).absolute())


def is_file(path: str) -> bool:
    """Tell whether a path, of any length and content, names a readable file."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def exists(path: str | os.PathLike[str]) -> bool:
    """Tell whether a path, of any length and content, names what is there and may be looked at."""
    try:
        return Path(path).exists()
    except OSError:
        return False


def reason(error: OSError) -> str:
    """Return the system's own words for a failed read, as a short reason."""
    return f"cannot be read: {error.strerror or error}"
