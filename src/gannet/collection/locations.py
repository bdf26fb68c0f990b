"""Origins of items: the files and archives that hold them, and whether these still exist."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gannet.collection.items import Item, Origin
from gannet.data import ImageSource, MatrixSource
from gannet.data.base import exists, is_folder
from gannet.data.opening import other_kinds, own_kinds


def origins(source: ImageSource | MatrixSource) -> list[Origin]:
    """Return the origin of each item of a source."""
    if isinstance(source, MatrixSource):
        return [Origin(source.container)] * len(source)
    return [Origin(source.holder(index)) for index in range(len(source))]


def is_missing(item: Item) -> bool:
    """Return whether the system reports that neither an item's file nor a container of the item exists."""
    return all(map(_is_missing, _holders(item)))


def is_gone(item: Item) -> bool:
    """Return whether an item is missing, and not behind a dangling link, as to a disk that is not mounted."""
    return is_missing(item) and not any(_is_dead_link(folder) for folder in Path(item.path).parents)


def _holders(item: Item) -> Sequence[str]:
    """Return the paths of which one has to exist for an item to exist.

    For items that were added without an origin, these are the item's own path and the part of it before ``!`` or ``#``,
    unless that is a folder whose items are files.
    """
    if item.origin.container is not None:
        return [item.origin.container]
    marked = [item.path[:i] for i, char in enumerate(item.path) if char in "!#"]
    return [item.path, *(path for path in marked if not _is_plain_folder(path))]


def _is_plain_folder(path: str) -> bool:
    kinds = [*own_kinds(), *other_kinds()]
    try:
        return is_folder(path) and not any(kind.items == "members" and kind.takes(path) for kind in kinds)
    except OSError:
        return False


def _is_missing(path: str) -> bool:
    if not Path(path).is_absolute():  # such as mydb://table, which only its kind of source could look up
        return False
    try:
        Path(path).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):  # the file may exist although it cannot be inspected
        return False
    return False


def _is_dead_link(path: Path) -> bool:
    return path.is_symlink() and not exists(path)
