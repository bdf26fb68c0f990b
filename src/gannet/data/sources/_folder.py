"""Folders whose files are the parts of one source."""

from __future__ import annotations

import os
from pathlib import Path

from gannet.data.base import is_folder

#: Endings of files that may lie beside the parts.
TEXTS = (".txt", ".json", ".csv", ".md")


def parts_in(
    folder: str, endings: tuple[str, ...], beside: tuple[str, ...] = TEXTS, inner: str = ""
) -> list[Path] | None:
    """Return the files in a folder with one of some endings, sorted by name.

    Files with the endings ``beside``, hidden entries and a folder of the name ``inner`` may lie beside them. Returns
    None if there is anything else, of which the first entry ends the search, or if the folder cannot be read.
    """
    if not is_folder(folder):
        return None
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name.lower()
                if name.startswith(".") or entry.name == inner:
                    continue
                if not (name.endswith((*endings, *beside)) and entry.is_file()):
                    return None
                if name.endswith(endings):
                    found.append(Path(entry.path))
    except OSError:
        return None
    return sorted(found)
