"""The options ``--index`` and ``--part``, which choose the index that a collection is searched with."""

from __future__ import annotations

from gannet.errors import GannetError
from gannet.index import DEFAULT_INDEX, IndexFactory


def chosen_index(collection: str, index: str, part: str | None) -> str | IndexFactory:
    """Return the index of a collection."""
    from gannet.engines import is_target
    from gannet.retrieval.parts import part_index

    if is_target(index):
        raise GannetError(f"{collection} and a target cannot be searched together: give the target in its place")
    return index if part is None else part_index(collection, part, index)


def check_no_index(index: str, part: str | None) -> None:
    """Raise an error if an index is chosen for a target, which is one itself."""
    for option, given in (("--index", index != DEFAULT_INDEX), ("--part", part is not None)):
        if given:
            raise GannetError(f"{option} is for collections: a target is searched by its engine, leave the option out")
