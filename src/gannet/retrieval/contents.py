"""Compare the present content of files with the content that was indexed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from gannet.errors import GannetError
from gannet.retrieval.searchable import Searchable
from gannet.support.progress import progress

if TYPE_CHECKING:
    from gannet.data import RawImage

K = TypeVar("K")

#: `mark_items` compares at most this many items, because it reads their files.
MAX_COMPARED = 10_000


def mark_items(collection: Searchable, items: Sequence[Any]) -> int:
    """Mark the items whose files have changed since they were indexed, by a true ``changed``.

    Items are dicts with ``id`` and ``path``, and may be given several times. A file that cannot be read is not marked,
    nor are rows of a matrix and items without a digest. Returns the number of items that were not compared: those
    beyond the first 10,000.
    """
    names = {int(item["id"]): str(item["path"]) for item in items}
    compared = dict(list(names.items())[:MAX_COMPARED])
    paths = list(dict.fromkeys(compared.values()))
    indexed = {item.id: item.digest for item in collection.items_at(paths) if item.digest is not None}
    present = _present_digests([path for id_, path in compared.items() if id_ in indexed])
    for item in items:
        digest = present.get(item["path"])
        if isinstance(digest, bytes) and indexed.get(item["id"], digest) != digest:
            item["changed"] = True
    return len(names) - len(compared)


def _present_digests(paths: Sequence[str]) -> dict[str, bytes | GannetError]:
    from gannet.data import read_item

    return read_digests({path: functools.partial(read_item, path) for path in paths})


def read_digests(reads: Mapping[K, Callable[[], RawImage]]) -> dict[K, bytes | GannetError]:
    """Return the content digest of each image, or the reason why it cannot be read; several threads read."""
    from gannet.backbones.extract import load
    from gannet.data import digest

    keys = list(reads)
    nothing = np.empty((0, 0, 3), np.uint8)
    found: dict[K, bytes | GannetError] = {}
    with progress(len(keys), "reading", "img") as bar:
        for item in load(len(keys), lambda i: reads[keys[i]](), lambda _: nothing, digest):
            found[keys[item.index]] = item.digest if item.failure is None else GannetError(item.failure)
            bar.update(1)
    return found
