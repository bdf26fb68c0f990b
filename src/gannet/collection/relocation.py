"""Items by the folder or file that holds them: finding them, and following it to a new path."""

from __future__ import annotations

from gannet.collection.collection import Collection
from gannet.collection.items import Item, Origin
from gannet.data.base import absolute, is_folder
from gannet.errors import GannetError


def items_below(collection: Collection, path: str) -> list[Item]:
    """Return the items in a folder, an archive or a matrix, or of a file, in ascending order of their ids.

    The path is absolute or relative, as the collection has it; nothing needs to be there. Raises a `GannetError` if
    there are no items.
    """
    return _find(collection, path)[1]


def relocate(collection: Collection, old: str, new: str) -> int:
    """Change the paths of the items in a moved folder, archive or matrix, or of a moved file; return their number.

    The paths are absolute or relative. No file is read. Raises a `GannetError`, with nothing changed, if no item is in
    ``old``, or if an item has one of the new paths already.
    """
    with collection.atomic():
        base, items = _find(collection, old)
        target = absolute(new)
        if target == base:
            raise GannetError(f"{old} and {new} are the same path")
        moved = {item.id: _moved(item.path, base, target) for item in items}
        taken = [item.path for item in collection.items_at(list(moved.values())) if item.id not in moved]
        if taken:
            raise GannetError(f"{collection.name} already has {len(taken):,} of the new paths, such as {taken[0]}")
        origins = [
            item.origin
            if item.origin.container is None
            else Origin(_moved(item.origin.container, base, target), *item.origin[1:])
            for item in items
        ]
        collection.rename(list(moved), list(moved.values()), origins)
    return len(moved)


def _find(collection: Collection, path: str) -> tuple[str, list[Item]]:
    """Return a path as the collection has it, and the items there."""
    for base in dict.fromkeys([absolute(path), path]):
        items = items_inside(collection, base)
        if items:
            return base, items
    raise GannetError(f"{collection.name} has no item in {path}; give the path as `gannet search` shows it")


def items_inside(collection: Collection, base: str) -> list[Item]:
    """Return the items in a folder, an archive or a matrix, or of a file, at a path as the collection has it."""
    items = [*collection.items_under(base), *collection.items_at([base]), *collection.items_in(base)]
    if not is_folder(base):  # members of archives that were added without an origin
        items += [item for mark in "!#" for item in collection.items_from(base + mark) if not item.origin.container]
    return sorted({item.id: item for item in items}.values())


def _moved(path: str, base: str, target: str) -> str:
    """Return a path with ``target`` in place of ``base``; other names are kept, because rows can have any name."""
    return target + path[len(base) :] if path.startswith(base) else path
