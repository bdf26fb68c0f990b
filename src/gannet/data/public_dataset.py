"""Public data sets: where they are looked for on this computer, and the folder that they are fetched into."""

from __future__ import annotations

import functools
import os
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from gannet.data.base import ArraySource
from gannet.data.labeled import Dataset, LabeledImages, split_parts
from gannet.errors import GannetError
from gannet.support.cache import cache_dir

#: Folder of data sets that Debian's packages install.
DEBIAN_DATASETS = Path("/usr/share/datasets")

CONNECT_SECONDS = 10


class PublicDataset(Dataset):
    """A data set that is looked for on this computer and fetched if it is not there.

    Subclasses set ``local_names``, the patterns of its files and folders, and implement `read` and `fetch`.
    """

    local_names: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path) -> LabeledImages:
        """Return the data set at a path."""

    @abstractmethod
    def fetch(self) -> Path:
        """Fetch the data set into `cache_folder` and return its path."""

    def load(self, path: str | None = None) -> LabeledImages:
        """Return the data set at a path. Without a path it is looked for on this computer, then fetched.

        It is looked for in ``$GANNET_DATA`` (which may be the data set itself), ``./data``, Gannet's cache folder and
        Debian's folder of data sets.
        """
        if path is not None:
            return self.read(Path(path))
        return first((self.local, self.fetched))

    def local(self) -> LabeledImages:
        """Return the first copy on this computer that is complete."""
        copies = [functools.partial(self.read, path) for path in _candidates(self.local_names)]
        searched = ", ".join(str(folder) for folder in _data_folders())
        return first(copies, f"not in {searched}")

    def fetched(self) -> LabeledImages:
        """Return a fetched copy."""
        return self.read(self.fetch())


def first(loads: Sequence[Callable[[], LabeledImages]], none: str = "") -> LabeledImages:
    """Return the first data set that loads; if there is none, raise all reasons as one error, or ``none``."""
    reasons = []
    for load in loads:
        try:
            return load()
        except GannetError as error:
            reasons.append(str(error))
    raise GannetError("; ".join(reasons) or none)


def of_array(name: str, source: ArraySource, note: str) -> LabeledImages:
    """Return the labeled images of an array source, which has labels and perhaps an official test part."""
    assert source.labels is not None  # an array source always has labels
    return LabeledImages(name, source, source.labels, source.class_names, split_parts(source.is_test), note)


def cache_folder() -> Path:
    """Return the folder that keeps fetched data sets."""
    return cache_dir() / "datasets"


def _candidates(names: tuple[str, ...]) -> Iterator[Path]:
    own = os.environ.get("GANNET_DATA")
    for folder in _data_folders():
        # A set, because the patterns overlap where the file system ignores case.
        found = sorted({path for name in names for path in folder.glob(name)})
        yield from found
        if own and not found and folder == Path(own):
            yield folder


def _data_folders() -> list[Path]:
    own = os.environ.get("GANNET_DATA")
    return [*([Path(own)] if own else []), Path("data"), cache_folder(), DEBIAN_DATASETS]
