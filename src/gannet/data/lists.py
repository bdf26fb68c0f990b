"""Labeled images in text lists, one path with its labels per line: the format in which NUS-WIDE is shared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import absolute, is_file, reason
from gannet.data.files import FolderSource
from gannet.data.labeled import LabeledImages
from gannet.errors import GannetError

_DATABASE, _QUERY, _TRAIN = "database.txt", "test.txt", "train.txt"
_SHOWN = 3


def has_lists(folder: str | os.PathLike[str]) -> bool:
    """Return whether a folder holds ``database.txt`` and ``test.txt``."""
    return all(is_file(f"{folder}/{name}") for name in (_DATABASE, _QUERY))


def load_lists(folder: str | os.PathLike[str]) -> LabeledImages:
    """Return the images that ``database.txt``, ``test.txt`` (queries) and ``train.txt`` in a folder name.

    A line holds a path relative to the folder, and one 0 or 1 per label. Without ``train.txt`` the database is the
    training set. Training images need not be in the database, but no query may be in either. Raises a `GannetError` if
    a list is missing, malformed or contradicts another, or if an image that it names is missing.
    """
    root = absolute(folder)
    names = [name for name in (_DATABASE, _QUERY, _TRAIN) if name != _TRAIN or is_file(f"{root}/{name}")]
    lists = {name: _read_list(Path(root) / name) for name in names}
    rows: dict[str, int] = {}
    labels: list[tuple[str, ...]] = []
    for name, entries in lists.items():
        for path, values in entries.items():
            row = rows.setdefault(path, len(labels))
            if row == len(labels):
                labels.append(values)
            elif labels[row] != values:
                raise GannetError(f"{path} has other labels in {name} than in another list of {root}: correct one")
    for name in names:
        if name != _QUERY:
            _refuse_shared(lists[_QUERY], lists[name], name)
    members = list(rows)
    _check_present(root, members)
    places = {name: np.array([rows[path] for path in entries], np.int64) for name, entries in lists.items()}
    parts = {"query": places[_QUERY], "database": places[_DATABASE], "train": places.get(_TRAIN, places[_DATABASE])}
    return LabeledImages(Path(root).name, FolderSource(root, members), _as_array(labels, root), parts=parts)


def load_list(path: str | os.PathLike[str]) -> LabeledImages:
    """Return the images of one list, without a split. Paths are relative to the folder of the list.

    A line holds a path, and either the name of a class or one 0 or 1 per label. Errors are those of `load_lists`.
    """
    file = Path(absolute(path))
    entries = _read_list(file)
    root = str(file.parent)
    _check_present(root, list(entries))
    labels = _as_array(list(entries.values()), str(file))
    return LabeledImages(file.stem, FolderSource(root, list(entries)), labels)


def _read_list(file: Path) -> dict[str, tuple[str, ...]]:
    """Return the labels, as written, by path. Each line has as many labels as the first."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise GannetError(f"there is no {file.name} in {file.parent}: each line is a path, then its labels") from None
    except OSError as error:
        raise GannetError(f"{file} {reason(error)}") from error
    except UnicodeDecodeError:
        raise GannetError(f"{file} is not a text file in UTF-8") from None
    entries: dict[str, tuple[str, ...]] = {}
    n_labels = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        n_labels = n_labels or _count_labels(line)
        # Split from the right, because a path may contain spaces.
        path, *values = line.strip().rsplit(maxsplit=n_labels)
        if len(values) != n_labels or (n_labels > 1 and not set(values) <= {"0", "1"}):
            what = "a class" if n_labels == 1 else f"{n_labels} zeros and ones"
            raise GannetError(f"{file}, line {number}: give a path, then {what}")
        if Path(path).is_absolute():
            raise GannetError(f"{file}, line {number}: {path} must be relative to {file.parent}")
        if path in entries:
            raise GannetError(f"{file}, line {number}: {path} is listed twice; take one line out")
        entries[path] = tuple(values)
    if not entries:
        raise GannetError(f"{file} is empty: each line is a path, then its labels")
    return entries


def _count_labels(line: str) -> int:
    """Return the number of zeros and ones at the end of a line; 1 if there is none, for the name of a class."""
    words = line.split()[1:]
    n_labels = next((place for place, word in enumerate(reversed(words)) if word not in ("0", "1")), len(words))
    return max(1, n_labels)


def _refuse_shared(queries: dict[str, tuple[str, ...]], others: dict[str, tuple[str, ...]], name: str) -> None:
    """Raise if a query is also in the list ``name``."""
    shared = [path for path in queries if path in others]
    if shared:
        raise GannetError(
            f"{len(shared):,} images of {_QUERY} are in {name} too (first {shared[0]}): take them out of {name}"
        )


def _check_present(root: str, members: Sequence[str]) -> None:
    missing = [member for member in members if not is_file(f"{root}/{member}")]
    if missing:
        shown = ", ".join(missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        raise GannetError(
            f"{len(missing):,} of {len(members):,} listed images are missing in {root}: {shown}; "
            "put them there, or take their lines out of the lists"
        )


def _as_array(labels: Sequence[tuple[str, ...]], where: str) -> NDArray[np.bool_] | NDArray[np.str_]:
    if len({len(values) for values in labels}) > 1:
        raise GannetError(f"the lists in {where} have different numbers of labels: give each line the same")
    array = np.array(labels)
    return array[:, 0] if array.shape[1] == 1 else array == "1"
