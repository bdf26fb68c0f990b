"""Bringing a collection in line with what a source holds now, as one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.collection.collection import Collection, Item
from gannet.data import Skipped
from gannet.errors import GannetError
from gannet.support.progress import progress

_ITEMS_A_BATCH = 100_000


@dataclass(frozen=True)
class Encoded:
    """A source, or the part of it that a collection did not know, turned into codes.

    Attributes
    ----------
        codes: ``(n, w)`` uint8.
        paths: name of each item.
        digests: content digest of each item; empty for a matrix.
        skipped: what could not be read, and why.
        features: ``(n, d)`` to keep for re-ranking, or None.
        model_id: of the model that made the codes, to be held against the collection's; None where it is known to be.
    """

    codes: Codes
    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]
    features: npt.NDArray[np.float16] | None = None
    model_id: str | None = None


@dataclass(frozen=True)
class Changes:
    """What was done, in items.

    Attributes
    ----------
        added: new ones, those that replace an older version included.
        replaced: older versions that went.
        known: left as they were.
        moved: given another path.
        gone: removed, as their files are no more.
    """

    added: int
    replaced: int = 0
    known: int = 0
    moved: int = 0
    gone: int = 0


def add_rows(collection: Collection, encoded: Encoded, rows: Sequence[int]) -> None:
    """Add some rows of what was encoded, a batch at a time."""
    with progress(len(rows), "indexing", "item") as bar:
        for start in range(0, len(rows), _ITEMS_A_BATCH):
            part = rows[start : start + _ITEMS_A_BATCH]
            collection.add(
                encoded.codes[part],
                [encoded.paths[i] for i in part],
                [encoded.digests[i] for i in part] if encoded.digests else None,
                features=None if encoded.features is None else encoded.features[part],
                model_id=encoded.model_id,
            )
            bar.update(len(part))


def add_encoded(collection: Collection, encoded: Encoded) -> Changes:
    """Add what was encoded, in one transaction; what is known is left alone, what has changed is replaced.

    Images are known by path and content digest, rows of a matrix, which have none, by path and code.
    """
    if encoded.digests:
        return merge(collection, encoded.paths, encoded.digests, encoded)
    with collection.atomic():
        items = collection.items_at(list(dict.fromkeys(encoded.paths)))
        ids = [item.id for item in items]
        versions = list(map(bytes, collection.code(ids)))
        stored = {(item.path, version) for item, version in zip(items, versions, strict=True)}
        here = list(zip(encoded.paths, map(bytes, encoded.codes), strict=True))
        new = [row for row, version in enumerate(here) if version not in stored]
        current = set(here)
        stale = [item.id for item, code in zip(items, versions, strict=True) if (item.path, code) not in current]
        collection.remove(stale)
        add_rows(collection, encoded, new)
    return Changes(len(new), len(stale), len(here) - len(new))


def merge(
    collection: Collection, paths: Sequence[str], digests: Sequence[bytes], encoded: Encoded, gone: Sequence[str] = ()
) -> Changes:
    """Make the items at ``paths (n,)`` those with ``digests (n,)``, and remove those at ``gone``, in one transaction.

    An item that would go but whose content is at a new path follows it there, with its id and code. Content that the
    collection has elsewhere gets the code from there. ``encoded`` holds the codes of the rest.

    Raises: `GannetError`, with nothing changed, where a code is neither there nor in ``encoded``.
    """
    if encoded.model_id is not None:
        collection.check_model(encoded.model_id)
    here = set(zip(paths, digests, strict=True))
    with collection.atomic():
        stored = collection.items_at(list(dict.fromkeys([*paths, *gone])))
        known = {(item.path, item.digest) for item in stored} & here
        left = {item.id: item for item in stored if (item.path, item.digest) not in here}
        by_digest: dict[bytes | None, list[Item]] = defaultdict(list)
        for item in left.values():
            by_digest[item.digest].append(item)
        moves: dict[int, str] = {}
        new = []
        for row, (path, digest) in enumerate(zip(paths, digests, strict=True)):
            if (path, digest) in known:
                continue
            if by_digest[digest]:
                item = by_digest[digest].pop()
                moves[item.id] = path
                del left[item.id]
            else:
                new.append(row)
        fresh = _with_codes(collection, [paths[i] for i in new], [digests[i] for i in new], encoded)
        collection.remove(list(left))
        collection.rename(list(moves), list(moves.values()))
        add_rows(collection, fresh, range(len(new)))
    current = set(paths)
    replaced = sum(item.path in current for item in left.values())
    return Changes(len(new), replaced, len(paths) - len(new) - len(moves), len(moves), len(left) - replaced)


def _with_codes(collection: Collection, paths: Sequence[str], digests: Sequence[bytes], encoded: Encoded) -> Encoded:
    """Return items with their codes and features, from what was encoded or from items of the same content."""
    row_of: Mapping[bytes, int] = {digest: row for row, digest in enumerate(encoded.digests)}
    copied = [i for i, digest in enumerate(digests) if digest not in row_of]
    made = [i for i, digest in enumerate(digests) if digest in row_of]
    rows = [row_of[digests[i]] for i in made]
    found = collection.find_digests(list({digests[i] for i in copied}))
    if any(digests[i] not in found for i in copied):
        raise GannetError(f"{collection.name} was changed by another program meanwhile; give the command again")
    ids = [found[digests[i]][0] for i in copied]
    codes = np.empty((len(paths), encoded.codes.shape[1]), np.uint8)
    codes[made], codes[copied] = encoded.codes[rows], collection.code(ids)
    features = None
    if collection.n_features is not None and encoded.features is not None:
        features = np.empty((len(paths), collection.n_features), np.float16)
        features[made], features[copied] = encoded.features[rows], collection.features(ids)
    return Encoded(codes, paths, digests, (), features)
