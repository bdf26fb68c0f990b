"""Groups of items whose codes lie close together, and whose features, where they are kept, are alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

import numpy as np

from gannet.codes import Codes, as_words, check_codes
from gannet.collection.arguments import Ids
from gannet.collection.collection import Collection
from gannet.errors import GannetError
from gannet.search._fixed_point import FixedPoint, Positions, Read
from gannet.support import threads

DEFAULT_COSINE = 0.9
"""Where features are kept: on CIFAR-10 what is that alike is, to the eye, the same picture."""
_PLACES_A_TASK = 256


class Member(TypedDict):
    """An item of a group."""

    id: int
    path: str


def duplicates(collection: Collection, radius: int | None = None, cosine: float | None = None) -> list[list[Member]]:
    """Return the groups of two or more items that are linked to one another, also through others, largest first.

    Items are linked whose codes differ in at most ``radius`` bits and whose features have a cosine of at least
    ``cosine``, 0 for any; see `limits` for None.

    Raises: `GannetError` for a negative radius, a cosine below 0 or above 1, and one above 0 where the collection
        keeps no features.
    """
    ids, codes = collection.codes()
    groups = group_items(collection, ids, codes, *limits(collection, radius, cosine))
    members = np.concatenate([*groups, ids[:0]])
    paths = iter(zip(members.tolist(), collection.paths(members), strict=True))
    return [[Member(id=id_, path=path) for id_, path in (next(paths) for _ in group)] for group in groups]


def limits(collection: Collection, radius: int | None = None, cosine: float | None = None) -> tuple[int, float]:
    """Return the radius and the cosine that a link takes, where they are None the defaults for the collection.

    With features a radius of a sixteenth of the bits and `DEFAULT_COSINE`. Without, identical codes alone: codes of
    images that show much the same lie close, and on CIFAR-10 steps of a bit of 64 chain thousands of images.
    """
    if cosine is None:
        cosine = 0.0 if collection.n_features is None else DEFAULT_COSINE
    if radius is None:
        radius = collection.n_bits // 16 if cosine else 0
    return radius, cosine


def group_items(collection: Collection, ids: Ids, codes: Codes, radius: int, cosine: float) -> list[Ids]:
    """Return the ids, ascending, of each group of `duplicates`, given the ids ``(n,)`` and codes of the collection."""
    if cosine:
        groups = group_alike(codes, collection.n_bits, radius, lambda some: collection.features(ids[some]), cosine)
    else:
        groups = group_codes(codes, collection.n_bits, radius)
    return [ids[group] for group in groups]


def group_codes(codes: Codes, n_bits: int, radius: int) -> list[Positions]:
    """Return the positions, ascending, of each group of two or more codes, the largest group first, then by position.

    Two codes ``(n, ceil(n_bits / 8))`` are in one group if a chain of codes leads from one to the other by steps of at
    most ``radius`` bits. Not all pairs are compared: of codes cut into ``radius + 1`` parts, two that differ in at most
    ``radius`` bits agree in a part (the pigeonhole principle; Norouzi, Punjani & Fleet 2012), so that only codes
    that share a part are. Codes that are the same count as one.

    Raises: `GannetError` for a negative radius.
    """
    checked = check_codes(codes, n_bits)
    if radius < 0:
        raise GannetError(f"the radius must be 0 bits or more, not {radius}")
    if radius >= n_bits:
        return [np.arange(len(checked))] if len(checked) > 1 else []
    first, group = _same(checked)
    if radius and len(first) > 1:
        group = _link(checked[first], n_bits, radius)[group]
    return _members(group)


def group_alike(codes: Codes, n_bits: int, radius: int, features: Read, cosine: float) -> list[Positions]:
    """Return what `group_codes` does, but link only items whose features have a cosine of at least ``cosine`` too.

    Parameters: ``features``, a function that returns those of the items at some positions, ``(m, d)``; ``cosine`` above
        0 and at most 1.
    Takes two bytes a value of the features of those items that have another one within the radius.

    Raises: `GannetError` for a negative radius or a cosine out of range.
    """
    if not 0 < cosine <= 1:
        raise GannetError(f"the cosine must be above 0 and at most 1, not {cosine:g}")
    near = group_codes(codes, n_bits, radius)
    if not near:
        return []
    members = np.concatenate(near)
    members = members[np.lexsort(as_words(codes[members]).T)]  # what is compared lies close together in memory
    kept = FixedPoint.read(features, members)
    group = np.arange(len(codes))
    group[members] = members[_link(codes[members], n_bits, min(radius, n_bits), kept, cosine)]
    return _members(group)


def _same(codes: Codes) -> tuple[Positions, Positions]:
    """Return the position of one of each different code, and for each position which of them it holds."""
    words = as_words(codes)
    order = np.lexsort(words.T)
    new = np.ones(len(codes), bool)
    new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    group = np.empty(len(codes), np.int64)
    group[order] = np.cumsum(new) - 1
    return order[new], group


def _members(group: Positions) -> list[Positions]:
    """Return the positions of each group of two or more, from the group's number at each position."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(starts, append=len(group))
    several = sizes > 1
    starts, sizes = starts[several], sizes[several]
    first = np.lexsort((order[starts], -sizes))
    return [order[start : start + size] for start, size in zip(starts[first], sizes[first], strict=True)]


def _link(codes: Codes, n_bits: int, radius: int, features: FixedPoint | None = None, cosine: float = 0.0) -> Positions:
    """Return for each code the first of those that it is linked with, by ``cosine`` above 0 through alike features."""
    from gannet.search import _pairs as pairs

    kept = features or FixedPoint.none()
    alike = kept.values, kept.lengths, cosine
    words = as_words(codes).T
    tables = [(words[:, order], order, ends) for order, ends in _tables(codes, n_bits, radius)]

    def join(tasks: Iterator[tuple[int, int]]) -> Positions:
        parents = np.arange(len(codes))
        for table, start in tasks:
            last = min(start + _PLACES_A_TASK, len(codes))
            pairs.join_near(*tables[table], radius, *alike, start, last, parents)
        return parents

    tasks = [(table, start) for table in range(len(tables)) for start in range(0, len(codes), _PLACES_A_TASK)]
    shared = iter(tasks)  # a list's iterator may be used by several threads at once
    others = [threads.pool().submit(join, shared) for _ in range(min(threads.cores(), len(tasks)) - 1)]
    parents = join(shared)
    for other in others:
        pairs.join_all(parents, other.result())
    pairs.roots(parents)
    return parents


def _tables(codes: Codes, n_bits: int, radius: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield for each part of the codes an order in which those that agree in it follow one another, and where they end.

    Where the parts would be so short that they save nothing, one bucket holds all.
    """
    n, n_parts = len(codes), radius + 1
    tables, work = [], 0
    for part in range(n_parts):
        # Every so manieth bit: neighbouring bits of some methods tell much the same.
        bits = np.arange(part, n_bits, n_parts)[:64]
        key = np.zeros(n, np.uint64)
        for bit in bits.tolist():
            key = key << np.uint64(1) | (codes[:, bit // 8] >> np.uint8(7 - bit % 8) & np.uint8(1)).astype(np.uint64)
        order = np.argsort(key, kind="stable")
        last = np.flatnonzero(np.diff(key[order])) + 1
        stops = np.append(last, n)
        sizes = np.diff(stops, prepend=0)
        tables.append((order, np.repeat(stops, sizes)))
        work += int((sizes * (sizes - 1)).sum())
    if work < n * (n - 1):
        yield from tables
    else:
        yield np.arange(n), np.full(n, n)
