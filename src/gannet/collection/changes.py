"""Updates of a collection to the present contents of a source, each as one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes
from gannet.collection.collection import Collection
from gannet.collection.items import Item
from gannet.data import Skipped
from gannet.errors import GannetError
from gannet.support.progress import progress

ITEMS_PER_BATCH = 100_000
"""Number of items that are added to a collection at a time."""


@dataclass(frozen=True)
class Encoded:
    """The codes of a source, or of the part of it that a collection did not have.

    Attributes
    ----------
    codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes.
    paths : sequence of str
        Path of each item.
    digests : sequence of bytes
        Content digest of each item; empty for a matrix.
    skipped : sequence of Skipped
        Items that could not be read, and why.
    features : ndarray of shape (n, d), dtype float16, default=None
        Features at unit length to keep for re-ranking.
    model_id : str, default=None
        Id of the model that made the codes, to be compared with the collection's; None skips the comparison.
    """

    codes: Codes
    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]
    features: npt.NDArray[np.float16] | None = None
    model_id: str | None = None


@dataclass(frozen=True)
class Changes:
    """The numbers of items that an update changed.

    Attributes
    ----------
    added : int
        New items, including those that replace an older version.
    replaced : int
        Removed older versions.
    known : int
        Unchanged items.
    moved : int
        Items with a new path.
    gone : int
        Items removed because their files no longer exist.
    """

    added: int
    replaced: int = 0
    known: int = 0
    moved: int = 0
    gone: int = 0


def add_rows(collection: Collection, encoded: Encoded, rows: Sequence[int], batch_size: int = ITEMS_PER_BATCH) -> None:
    """Add some rows of encoded items to a collection, one batch at a time."""
    with progress(len(rows), "indexing", "item") as bar:
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            collection.add(
                encoded.codes[part],
                [encoded.paths[i] for i in part],
                [encoded.digests[i] for i in part] if encoded.digests else None,
                features=None if encoded.features is None else encoded.features[part],
                model_id=encoded.model_id,
            )
            bar.update(len(part))


def add_encoded(collection: Collection, encoded: Encoded) -> Changes:
    """Add encoded items in one transaction; known items stay unchanged, and items with changed content are replaced.

    An image is known if the collection has its path with its content digest. Rows of a matrix have no digest and are
    compared by path and code.
    """
    if encoded.digests:
        return merge(collection, encoded.paths, encoded.digests, encoded)
    with collection.atomic():
        items = collection.items_at(list(dict.fromkeys(encoded.paths)))
        ids = [item.id for item in items]
        versions = list(map(bytes, collection.codes(ids)))
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
    """Update the items at some paths in one transaction.

    Afterwards the items at ``paths (n,)`` have the ``digests (n,)``, and there are none at the paths ``gone``. An item
    that would be removed, but whose content is at a new path, gets that path and keeps its id and code. Content that
    the collection has at another path gets the code of that item. ``encoded`` holds the codes of all other content.

    Raises a `GannetError`, with nothing changed, if a code is neither in the collection nor in ``encoded``.
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
