"""Sources of images: their items have names and are read one at a time; files left out are listed with a reason."""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.images import RawImage
from gannet.errors import GannetError

#: Larger files are refused before they are read into memory.
MAX_FILE_BYTES = 1 << 29

_LONGEST_REASON = 200


@dataclass(frozen=True)
class Skipped:
    """Path of a file or item that a source left out, and the reason."""

    path: str
    reason: str


class ImageSource(ABC):
    """Images that are listed by name and read one at a time, from several threads at once.

    Subclasses implement `read`.

    Parameters
    ----------
    container : str
        The folder, archive or database that holds the items: an absolute path, or a text such as ``mydb://table``.
    members : sequence of str
        Names of the items within the container.
    separator : str
        Text between container and member in the path of an item. It is ``#`` or ``!``, unless the items are files of
        their own.
    skipped : sequence of Skipped, default=()
        Items that were left out when the source was listed.
    notes : sequence of str, default=()
        Lines for the user about the items taken and left out.

    Attributes
    ----------
    name : str
        A short name for people.
    paths : list of str
        Path of each item: container, separator, member. `gannet.data.read_item` reads an item back by its path.
    labels : ndarray of shape (n,), dtype int64, or None
        Class numbers; only official data sets have them.
    class_names : tuple of str
        One name per class number, if there are labels.
    is_test : ndarray of shape (n,), dtype bool, or None
        True for the items of the official test part, if the source has one.
    total : int
        Number of items that there are; more than ``len`` if the source is a random sample of them.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import ImageSource
    >>> class Gray(ImageSource):
    ...     def read(self, index):
    ...         return np.full((8, 8, 3), index, np.uint8)
    >>> source = Gray("gray://", ["dark", "light"], "#")
    >>> source.paths
    ['gray://#dark', 'gray://#light']
    >>> source.read(source.find("gray://#light")).shape
    (8, 8, 3)
    """

    def __init__(
        self,
        container: str,
        members: Sequence[str],
        separator: str,
        skipped: Sequence[Skipped] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.notes = list(notes)
        self.name = Path(container).name or container
        self.container = container
        self.members = list(members)
        self.paths = [f"{container}{separator}{member}" for member in self.members]
        self.skipped = list(skipped)
        self.labels: NDArray[np.int64] | None = None
        self.class_names: tuple[str, ...] = ()
        self.is_test: NDArray[np.bool_] | None = None
        self.total = len(self.members)

    def __len__(self) -> int:
        return len(self.members)

    @abstractmethod
    def read(self, index: int) -> RawImage:
        """Return one image, undecoded.

        Parameters
        ----------
        index : int
            Place of the item in ``members``.

        Returns
        -------
        bytes or ndarray of shape (h, w, 3), dtype uint8
            The content of an image file, or RGB pixels.

        Raises
        ------
        GannetError
            If it cannot be read. The message is the reason alone, without the name of the item.
        """

    def find(self, path: str) -> int:
        """Return the index of the item with this path.

        Parameters
        ----------
        path : str
            One of ``paths``.

        Returns
        -------
        int
            Its place in ``paths``.

        Raises
        ------
        GannetError
            If there is none.
        """
        try:
            return self._index[path]
        except KeyError:
            raise GannetError(f"no such picture: {path}") from None

    def holder(self, index: int) -> str | None:
        """Return the path of the file or folder that has to exist for an item to exist.

        Parameters
        ----------
        index : int
            Place of the item in ``members``.

        Returns
        -------
        str or None
            The container of an item whose path is the container, ``#`` or ``!``, and a name; None if it is unknown.
        """
        inside = tuple(self.container + mark for mark in "!#")
        return self.container if self.paths[index].startswith(inside) else None

    def lacks(self, path: str) -> bool:
        """Return whether the source was read to its end and certainly has no item of this path.

        `gannet.sync` removes such items. Unless a subclass says otherwise, nothing is certain.

        Parameters
        ----------
        path : str
            Path of an item that the source may have had before.

        Returns
        -------
        bool
            False also if an item of this path exists but is left out.
        """
        return False

    @cached_property
    def _index(self) -> dict[str, int]:
        return {path: index for index, path in enumerate(self.paths)}


class Subset(ImageSource):
    """Some images of another source, in the order of ``indices``, under the paths that they have there."""

    def __init__(
        self, source: ImageSource, indices: Sequence[int] | NDArray[np.int64], skipped: Sequence[Skipped] = ()
    ) -> None:
        self._source = source
        self._indices = [int(i) for i in indices]
        super().__init__(source.container, [source.members[i] for i in self._indices], "/", skipped)
        self.paths = [source.paths[i] for i in self._indices]
        self.labels = None if source.labels is None else source.labels[self._indices]
        self.class_names = source.class_names

    def read(self, index: int) -> RawImage:
        """Return image ``index`` of the subset."""
        return self._source.read(self._indices[index])

    def holder(self, index: int) -> str | None:
        """Return the path of the file or folder that holds image ``index`` of the subset."""
        return self._source.holder(self._indices[index])


class ArraySource(ImageSource):
    """Images of one size in one array, in consecutive parts such as train and test.

    Parameters
    ----------
    container : str
        The file or folder that they came from, or the name of the data set.
    pixels : ndarray of shape (n, h, w) or (n, h, w, 3), dtype uint8
        Gray or RGB images.
    parts : mapping of str to int
        Name and length of each part. Items are named ``CONTAINER#PART/17``.
    labels : ndarray of shape (n,), dtype int64
        Class numbers.
    class_names : sequence of str
        One name per class number.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.data import ArraySource
    >>> pixels = np.zeros((3, 8, 8), np.uint8)
    >>> source = ArraySource("gray://", pixels, {"train": 2, "test": 1}, np.array([0, 1, 1]), ["cat", "dog"])
    >>> source.paths
    ['gray://#train/0', 'gray://#train/1', 'gray://#test/0']
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
        """Return one image as RGB pixels.

        Parameters
        ----------
        index : int
            Place of the item in ``members``.

        Returns
        -------
        ndarray of shape (h, w, 3), dtype uint8
            The pixels; gray images have three equal channels.
        """
        image = self._pixels[index]
        if image.ndim == 2:
            image = np.repeat(image[:, :, None], 3, axis=2)
        return np.ascontiguousarray(image)


def absolute(path: str | os.PathLike[str]) -> str:
    """Return the absolute path without ``.`` and ``..``. Links are not resolved."""
    return os.path.normpath(Path(path).absolute())


def is_file(path: str) -> bool:
    """Return whether a text, of any length and content, is the path of a file."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a text, of any length and content, is the path of a folder, which need not be readable."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError):
        return False


def has_content(path: str) -> bool:
    """Return whether a text is the path of a file that is not empty."""
    try:
        return Path(path).is_file() and Path(path).stat().st_size > 0
    except (OSError, ValueError):
        return False


def exists(path: str | os.PathLike[str]) -> bool:
    """Return whether a text, of any length and content, is the path of something that exists and can be accessed."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def reason(error: OSError) -> str:
    """Return the message of the operating system as a short reason."""
    return f"cannot be read: {error.strerror or one_line(error)}"


def one_line(error: Exception) -> str:
    """Return an error's message in one line of limited length, or the name of its type."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]}..."


@contextlib.contextmanager
def reading(problem: str, path: str = "") -> Iterator[None]:
    """Turn every error of a reader into a `GannetError` of one line.

    Each reader is called inside one such block, because parsers raise errors of any type on damaged data. An error of
    the operating system is reported unchanged; for any other, the message is the path, ``problem`` and the error.
    """
    where = f"{path} " if path else ""
    try:
        yield
    except GannetError:
        raise
    except OSError as error:
        if error.errno is not None:
            raise GannetError(f"{where}{reason(error)}") from error
        raise GannetError(f"{where}{problem}: {one_line(error)}") from error
    except Exception as error:
        raise GannetError(f"{where}{problem}: {one_line(error)}") from error
