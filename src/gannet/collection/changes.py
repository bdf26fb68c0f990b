"""Updates of a collection to the present contents of a source, each as one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.collection.collection import Collection
from gannet.collection.items import Item, Origin, path_digest
from gannet.collection.locations import is_missing
from gannet.data import Skipped
from gannet.errors import GannetError
from gannet.support.progress import progress

ITEMS_PER_BATCH = 100_000
"""Number of items that are added to a collection at a time."""


@dataclass(frozen=True)
class Encoded:
    """The codes ``(n, ceil(n_bits / 8))`` of a source, or of the part of it that a collection did not have.

    ``digests`` are empty for a matrix. ``skipped`` are the items that could not be read. ``features (n, d)`` at unit
    length are kept for re-ranking. ``model_id`` is compared with the collection's; None skips the comparison.
    """

    codes: Codes
    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]
    features: npt.NDArray[np.float16] | None = None
    model_id: str | None = None
    origins: Sequence[Origin] | None = None


@dataclass(frozen=True)
class Changes:
    """The numbers of items that an update changed.

    ``added`` counts all new items, also those that replace an older version (``replaced``). ``known`` items are
    unchanged, ``moved`` ones have a new path, and the files of those that are ``gone`` no longer exist.
    """

    added: int
    replaced: int = 0
    known: int = 0
    moved: int = 0
    gone: int = 0


def add_rows(
    collection: Collection,
    encoded: Encoded,
    rows: Sequence[int],
    batch_size: int = ITEMS_PER_BATCH,
    ids: Sequence[int] | None = None,
) -> None:
    """Add some rows of encoded items to a collection, one batch at a time; see `Collection.add` for ``ids``."""
    with progress(len(rows), "indexing", "item") as bar:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            collection.add(
                encoded.codes[part],
                [encoded.paths[i] for i in part],
                [encoded.digests[i] for i in part] if encoded.digests else None,
                features=None if encoded.features is None else encoded.features[part],
                model_id=encoded.model_id,
                origins=None if encoded.origins is None else [encoded.origins[i] for i in part],
                ids=None if ids is None else ids[start : start + batch_size],
            )
            bar.update(len(part))


def add_encoded(collection: Collection, encoded: Encoded) -> Changes:
    """Add encoded items in one transaction; known items stay unchanged, and items with changed content are replaced.

    An image is known if the collection has its path with its content digest. Rows of a matrix have no digest and are
    compared by path and code. Items whose file no longer exists follow their content to its new path.
    """
    if encoded.digests:
        return merge(collection, encoded.paths, encoded.digests, encoded, (), encoded.origins)
    with collection.atomic():
        items = collection.items_at(list(dict.fromkeys(encoded.paths)))
        versions = list(map(bytes, collection.codes([item.id for item in items])))
        stored = {(item.path, version): item for item, version in zip(items, versions, strict=True)}
        here = list(zip(encoded.paths, map(bytes, encoded.codes), strict=True))
        known = {row: stored[version] for row, version in enumerate(here) if version in stored}
        current = set(here)
        stale = [item.id for item, code in zip(items, versions, strict=True) if (item.path, code) not in current]
        new = [row for row in range(len(here)) if row not in known]
        moves = _moved_rows(collection, encoded, new)
        collection.remove(stale)
        _rename(collection, encoded.paths, encoded.origins, moves, known)
        new = [row for row in new if row not in moves]
        add_rows(collection, encoded, new)
    return Changes(len(new), len(stale), len(known), len(moves))


def _moved_rows(collection: Collection, encoded: Encoded, rows: Iterable[int]) -> dict[int, Item]:
    """Return the items of matrices that no longer exist by the row that has their name in the matrix and their code."""
    if encoded.origins is None:
        return {}
    lost: dict[tuple[str, bytes], list[Item]] = defaultdict(list)
    held = {container: collection.items_in(container) for container in collection.containers()}
    for item in collection.rows_of_unknown_origin():
        held.setdefault(item.path.rpartition("#")[0], []).append(item)
    for container, items in held.items():
        if items and items[0].digest is None and is_missing(items[0]):
            for item, code in zip(items, collection.codes([item.id for item in items]), strict=True):
                lost[item.path.removeprefix(container), bytes(code)].append(item)
    moves = {}
    for row in rows if lost else ():
        member = encoded.paths[row].removeprefix(encoded.origins[row].container or "")
        if items := lost[member, bytes(encoded.codes[row])]:
            moves[row] = items.pop(0)
    return moves


@dataclass
class Plan:
    """The changes that a source makes in a collection, by the rows of the source.

    ``known`` are unchanged items and ``moved`` are those to be renamed, by row; ``left`` are the items to be removed;
    ``new`` are the rows to be added, of which the rows in ``restored`` get the ids of removed items.
    """

    paths: Sequence[str]
    known: dict[int, Item] = field(default_factory=dict)
    moved: dict[int, Item] = field(default_factory=dict)
    left: Sequence[Item] = ()
    new: list[int] = field(default_factory=list)
    restored: dict[int, int] = field(default_factory=dict)

    def changes(self) -> Changes:
        """Return the numbers of items."""
        current = set(self.paths)
        replaced = sum(item.path in current for item in self.left)
        return Changes(len(self.new), replaced, len(self.known), len(self.moved), len(self.left) - replaced)


def plan(collection: Collection, paths: Sequence[str], digests: Sequence[bytes], gone: Sequence[str] = ()) -> Plan:
    """Return the changes that `merge` would make."""
    here = set(zip(paths, digests, strict=True))
    with collection.snapshot():
        stored = collection.items_at(list(dict.fromkeys([*paths, *gone])))
        by_version = {(item.path, item.digest): item for item in stored}
        result = Plan(paths)
        left = {item.id: item for item in stored if (item.path, item.digest) not in here}
        rows: dict[bytes, list[int]] = defaultdict(list)
        for row, version in enumerate(zip(paths, digests, strict=True)):
            if version in by_version:
                result.known[row] = by_version[version]
            else:
                rows[version[1]].append(row)
        _follow(collection, paths, rows, left, result.moved)
        removed = collection.removed_ids(list(rows))
    result.left = list(left.values())
    result.new = sorted(row for some in rows.values() for row in some if row not in result.moved)
    wanted = [(row, removed.get(digests[row], {})) for row in result.new]
    names = {row: path_digest(paths[row].encode("utf-8", "surrogateescape")) for row, ids in wanted if ids}
    for same_path in (True, False):
        for row, ids in wanted:
            fit = [id_ for id_, name in ids.items() if not same_path or name == names[row]]
            if row not in result.restored and fit:
                result.restored[row] = min(fit)
                del ids[min(fit)]
    return result


def _follow(
    collection: Collection,
    paths: Sequence[str],
    rows: Mapping[bytes, Sequence[int]],
    left: dict[int, Item],
    moved: dict[int, Item],
) -> None:
    """Move items to ``moved`` whose content is at a new path, given the new rows by digest.

    These are items that would be removed otherwise, in ``left``, and those of content whose every known path is
    missing.
    """
    candidates: dict[bytes | None, list[Item]] = defaultdict(list)
    for item in left.values():
        candidates[item.digest].append(item)
    elsewhere: dict[bytes | None, list[Item]] = defaultdict(list)
    for item in collection.items_with(list(rows)):
        elsewhere[item.digest].append(item)
    for digest, some in rows.items():
        if all(item.id in left or is_missing(item) for item in elsewhere[digest]):
            candidates[digest] += [item for item in elsewhere[digest] if item.id not in left]
        by_name: dict[str, list[Item]] = defaultdict(list)
        for item in candidates[digest]:
            by_name[PurePath(item.path).name].append(item)
        for row in some:
            if items := by_name[PurePath(paths[row]).name]:
                moved[row] = items.pop(0)
        taken = {moved[row].id for row in some if row in moved}
        rest = iter([item for item in candidates[digest] if item.id not in taken])
        moved |= dict(zip([row for row in some if row not in moved], rest, strict=False))
    for item in moved.values():
        left.pop(item.id, None)


def merge(
    collection: Collection,
    paths: Sequence[str],
    digests: Sequence[bytes],
    encoded: Encoded,
    gone: Sequence[str] = (),
    origins: Sequence[Origin] | None = None,
) -> Changes:
    """Update the items at some paths in one transaction.

    Afterwards the items at ``paths (n,)`` have the ``digests (n,)`` and ``origins (n,)``, and there are none at the
    paths ``gone``. An item that would be removed, or of which the content is nowhere else, gets the new path of its
    content and keeps its id and code. Content that the collection has at another path gets the code of that item, and
    content that was removed its former id. ``encoded`` holds the codes of all other content.

    Raises a `GannetError`, with nothing changed, if a code is neither in the collection nor in ``encoded``.
    """
    if encoded.model_id is not None:
        collection.check_model(encoded.model_id)
    with collection.atomic():
        planned = plan(collection, paths, digests, gone)
        new = [row for row in planned.new if row not in planned.restored]
        restored = sorted(planned.restored, key=planned.restored.__getitem__)
        some = [*new, *restored]
        fresh = _with_codes(collection, [paths[i] for i in some], [digests[i] for i in some], encoded)
        fresh = replace(fresh, origins=None if origins is None else [origins[i] for i in some])
        collection.remove([item.id for item in planned.left])
        _rename(collection, paths, origins, planned.moved, planned.known)
        add_rows(collection, fresh, range(len(new)))
        ids = [planned.restored[row] for row in restored]
        add_rows(collection, fresh, range(len(new), len(some)), ids=ids)
    return planned.changes()


def _rename(
    collection: Collection,
    paths: Sequence[str],
    origins: Sequence[Origin] | None,
    moved: Mapping[int, Item],
    known: Mapping[int, Item],
) -> None:
    """Give moved items their new paths and origins, and known items their new origins."""
    renamed = dict(moved)
    if origins is not None:
        renamed |= {row: item for row, item in known.items() if item.origin != origins[row]}
    if renamed:
        given = None if origins is None else [origins[row] for row in renamed]
        collection.rename([item.id for item in renamed.values()], [paths[row] for row in renamed], given)


def _with_codes(collection: Collection, paths: Sequence[str], digests: Sequence[bytes], encoded: Encoded) -> Encoded:
    """Return items with codes and features, taken from ``encoded`` or from stored items with the same content."""
    row_of: Mapping[bytes, int] = {digest: row for row, digest in enumerate(encoded.digests)}
    copied = [i for i, digest in enumerate(digests) if digest not in row_of]
    made = [i for i, digest in enumerate(digests) if digest in row_of]
    rows = [row_of[digests[i]] for i in made]
    found = collection.find_digests(list({digests[i] for i in copied}))
    if any(digests[i] not in found for i in copied):
        raise GannetError(f"{collection.name} was changed by another program meanwhile; run the command again")
    ids = [found[digests[i]][0] for i in copied]
    codes = np.empty((len(paths), encoded.codes.shape[1]), np.uint8)
    codes[made], codes[copied] = encoded.codes[rows], collection.codes(ids)
    features = None
    if collection.n_features is not None and encoded.features is not None:
        features = np.empty((len(paths), collection.n_features), np.float16)
        features[made], features[copied] = encoded.features[rows], collection.features(ids)
    return Encoded(codes, paths, digests, (), features)
