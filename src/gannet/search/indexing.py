"""Filling a collection from a source: what is new is encoded, what is known stays, what has changed is replaced."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gannet.codes import Codes
from gannet.data import ImageSource, MatrixSource, Skipped
from gannet.errors import GannetError
from gannet.image_hasher import ImageHasher
from gannet.model import Model
from gannet.progress import progress
from gannet.search import storage
from gannet.search.collection import Collection

_ITEMS_A_TRANSACTION = 100_000


@dataclass(frozen=True)
class Encoded:
    """A source turned into codes.

    Attributes:
        codes: ``(n, w)`` uint8.
        paths: name of each item.
        digests: content digest of each item; empty for a matrix.
        skipped: what could not be read, and why.
    """

    codes: Codes
    paths: Sequence[str]
    digests: Sequence[bytes]
    skipped: Sequence[Skipped]


@dataclass(frozen=True)
class Added:
    """What adding did: ``added`` new items, of which ``replaced`` had changed under their path; ``known`` ones left."""

    added: int
    replaced: int
    known: int


def encode_source(hasher: ImageHasher, source: ImageSource | MatrixSource) -> Encoded:
    """Return the codes of all items that can be read.

    Raises: `GannetError` if none can be, or if a row of a matrix has another length than the model's, NaN or infinity.
    """
    features = hasher.features(source)
    if not len(features.values):
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in features.skipped[:3])
        raise GannetError(f"nothing could be read from {source.name}: {reasons}")
    codes = hasher.model.encoder.encode(features.values)
    return Encoded(codes, features.paths, features.digests, features.skipped)


def build_collection(path: Path, model: Model, encoded: Encoded) -> Added:
    """Make a collection of codes that appears at ``path`` when it is whole: no kill or full disk leaves half of one.

    Raises: `GannetError` if ``path`` exists or cannot be written.
    """
    part = path.resolve().with_name(f".{secrets.token_hex(8)}.part")
    try:
        with Collection.create(part, model.n_bits, model.to_bytes()) as collection:
            added = add_encoded(collection, encoded)
        with storage.explained(path):
            storage.publish(part, path)
    finally:
        part.unlink(missing_ok=True)
    return added


def add_encoded(collection: Collection, encoded: Encoded) -> Added:
    """Store codes in a collection made for them.

    Images that the collection has under the same path with the same content are left alone. A matrix has no content
    digests: all its rows are added. Every batch is one transaction, so what was reported as stored stays stored.
    """
    rows, stale = _new_rows(collection, encoded)
    with progress(len(rows), "indexing", "item") as bar:
        for start in range(0, len(rows), _ITEMS_A_TRANSACTION):
            part = rows[start : start + _ITEMS_A_TRANSACTION]
            digests = [encoded.digests[i] for i in part] if encoded.digests else None
            collection.add(encoded.codes[part], [encoded.paths[i] for i in part], digests)
            bar.update(len(part))
    # Old versions go last: a kill in between leaves an item twice, never not at all.
    if stale:
        collection.remove(np.array(stale, np.int64))
    return Added(len(rows), len(stale), len(encoded.paths) - len(rows))


def _new_rows(collection: Collection, encoded: Encoded) -> tuple[list[int], list[int]]:
    """Return the rows that the collection lacks, and the ids of items that they replace."""
    if not encoded.digests or not len(collection):
        return list(range(len(encoded.paths))), []
    ids_of = collection.find_digests(encoded.digests)
    known_ids = [i for ids in ids_of.values() for i in ids]
    path_of = dict(zip(known_ids, collection.paths(known_ids), strict=True))
    rows, stale = [], []
    for row, (path, digest) in enumerate(zip(encoded.paths, encoded.digests, strict=True)):
        if any(path_of[i] == path for i in ids_of.get(digest, ())):
            continue
        rows.append(row)
        stale += collection.find_path(path).tolist()
    return rows, stale
