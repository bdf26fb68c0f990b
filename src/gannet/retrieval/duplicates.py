"""Groups of near-duplicates: items with near codes and, if the collection keeps features, similar features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict

import numpy as np

from gannet.codes import Codes, Ids, as_words, check_codes
from gannet.collection.collection import Collection
from gannet.errors import GannetError
from gannet.retrieval._fixed_point import FixedPoint, Positions, Read
from gannet.retrieval.pictures import Picture, Pictures
from gannet.support import threads

DEFAULT_COSINE = 0.9
"""Default for collections with features: on CIFAR-10, images with this cosine look like the same picture."""
_PLACES_PER_TASK = 256


class Member(TypedDict):
    """An item of a group; `describe` adds size and date of its picture, and whether to keep it.

    ``changed`` is present, and true, if the item's file was found to have changed since it was indexed.
    """

    id: int
    path: str
    changed: NotRequired[bool]
    keep: NotRequired[bool]
    bytes: NotRequired[int | None]
    width: NotRequired[int | None]
    height: NotRequired[int | None]
    date: NotRequired[str | None]


def find_duplicates(
    collection: Collection,
    radius: int | None = None,
    cosine: float | None = None,
    *,
    pictures: Pictures | None = None,
) -> list[list[Member]]:
    """Find groups of near-duplicates in a collection.

    Two items are linked if their codes differ in at most ``radius`` bits and their features have a cosine of at least
    ``cosine``. A group consists of all items that are connected by links. Pages of text and drawings are linked only if
    their details agree, and pictures without contrast only if all pixels do, as far as the pictures can be read. Groups
    that were given to `Collection.ignore` are left out.

    Parameters
    ----------
    collection : Collection
        An open collection.
    radius : int, default=None
        Largest distance of two codes in bits. By default a sixteenth of the bits if cosines are compared, and 0
        otherwise.
    cosine : float, default=None
        Least cosine of two items' features, from 0 to 1; 0 compares only codes. By default 0.9 if the collection keeps
        features, and 0 otherwise.
    pictures : Pictures, default=None
        The pictures of the collection, if they are used for more than this call.

    Returns
    -------
    list of list of Member
        Groups of two or more items, each a dict of ``id`` and ``path``; the largest group first, then by first id. The
        items of a group are in the order of their ids.

    Raises
    ------
    GannetError
        If ``radius`` or ``cosine`` is out of range, or if ``cosine`` is above 0 and the collection keeps no features.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gannet import Collection
    >>> from gannet.encoders import Linear
    >>> from gannet.model import Model
    >>> from gannet.retrieval.duplicates import find_duplicates
    >>> model = Model(Linear(np.zeros(2, np.float32), np.eye(2, 8, dtype=np.float32), np.zeros(8, np.float32)), "lsh")
    >>> codes = np.array([[0], [255], [0]], np.uint8)
    >>> with (
    ...     tempfile.TemporaryDirectory() as folder,
    ...     Collection.create(f"{folder}/photos.gannet", model) as collection,
    ... ):
    ...     ids = collection.add(codes, ["a.jpg", "b.jpg", "copy of a.jpg"])
    ...     find_duplicates(collection)
    [[{'id': 0, 'path': 'a.jpg'}, {'id': 2, 'path': 'copy of a.jpg'}]]
    """
    with collection.snapshot():
        ids, codes = collection.ids, collection.codes()
    groups = group_items(collection, ids, codes, *limits(collection, radius, cosine), pictures or Pictures(collection))
    return _named(collection, groups)


def find_exact(collection: Collection, pictures: Pictures | None = None) -> list[list[Member]]:
    """Find groups, as `find_duplicates` does, of items with the same content or the same pixels.

    Contents are compared by the digests that the collection holds. Pixels are compared for items with codes that differ
    in at most a sixteenth of the bits: the pictures are decoded once, and the digests of their pixels are stored. Pass
    ``pictures`` if they are used for more than this call.
    """
    with collection.snapshot():
        ids, codes = collection.ids, collection.codes()
        near = [ids[group] for group in group_codes(codes, collection.n_bits, collection.n_bits // 16)]
        repeated = collection.repeated_ids()
        members = np.unique(np.concatenate([*near, np.array(repeated, np.int64), ids[:0]]))
        contents = {item.id: item.digest for item in collection.items(members) if item.digest}
    candidates = [id_ for group in near for id_ in group.tolist() if id_ in contents]
    pixels = (pictures or Pictures(collection)).pixel_digests(candidates)
    # Items with the same content have the same number, and so have those with the same pixels.
    numbers: dict[bytes | None, int] = {}
    parents = np.arange(len(members))
    for place, id_ in enumerate(members.tolist()):
        for name in (contents.get(id_), pixels.get(id_)):
            if name is not None:
                _join(parents, place, numbers.setdefault(name, place))
    roots = np.array([_root(parents, place) for place in range(len(members))], np.int64)
    groups = [members[group] for group in _members(roots)]
    return _named(collection, _without_ignored(collection, groups))


def describe(groups: Sequence[Sequence[Member]], pictures: Pictures, folders: Sequence[str] = ()) -> list[list[Member]]:
    """Add to each item of groups the size and date of its picture, and whether it is suggested to keep it.

    In each group, the items in the reference ``folders``, absolute paths, are kept, or, if there are none, the picture
    with the most pixels; of several, the largest file, then the oldest, then the one with the lowest id.
    """
    prefixes = tuple(folder.rstrip("/") + "/" for folder in folders)
    found = pictures.get(member["id"] for group in groups for member in group)
    described = []
    for group in groups:
        kept = {member["id"] for member in group if member["path"].startswith(prefixes)} if prefixes else set()
        kept = kept or {min((_rank(found[member["id"]]), member["id"]) for member in group)[1]}
        described.append([_described(member, found[member["id"]], member["id"] in kept) for member in group])
    return described


def _rank(picture: Picture | None) -> tuple[int, int, str]:
    """Return a key that is smallest for the picture to keep."""
    if picture is None:
        return 0, 0, "9"
    return -picture.width * picture.height, -picture.n_bytes, picture.taken or "9"


def _described(member: Member, picture: Picture | None, keep: bool) -> Member:
    return Member(
        id=member["id"],
        path=member["path"],
        keep=keep,
        bytes=picture.n_bytes if picture else None,
        width=picture.width if picture else None,
        height=picture.height if picture else None,
        date=picture.taken if picture else None,
    )


def _named(collection: Collection, groups: Sequence[Ids]) -> list[list[Member]]:
    members = np.concatenate([*groups, np.empty(0, np.int64)])
    paths = iter(zip(members.tolist(), collection.paths(members), strict=True))
    return [[Member(id=id_, path=path) for id_, path in (next(paths) for _ in group)] for group in groups]


def _without_ignored(collection: Collection, groups: list[Ids]) -> list[Ids]:
    ignored = collection.ignored()
    return [group for group in groups if not any(some.issuperset(group.tolist()) for some in ignored)]


def _root(parents: Positions, i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = int(parents[i])
    return i


def _join(parents: Positions, i: int, j: int) -> None:
    a, b = _root(parents, i), _root(parents, j)
    parents[max(a, b)] = min(a, b)


def limits(collection: Collection, radius: int | None = None, cosine: float | None = None) -> tuple[int, float]:
    """Return the radius and the cosine for links, with the collection's defaults in place of None.

    With features, the defaults are a sixteenth of the bits and `DEFAULT_COSINE`. Without features, only identical codes
    are linked by default: similar images have near codes, and on CIFAR-10 links of 1 bit of 64 connect thousands of
    different images.
    """
    if cosine is None:
        cosine = 0.0 if collection.n_features is None else DEFAULT_COSINE
    if radius is None:
        radius = collection.n_bits // 16 if cosine else 0
    return radius, cosine


def group_items(
    collection: Collection, ids: Ids, codes: Codes, radius: int, cosine: float, pictures: Pictures
) -> list[Ids]:
    """Return the ids, ascending, of each group of linked items, given all ids ``(n,)``, codes and pictures."""
    if cosine:
        groups = group_alike(codes, collection.n_bits, radius, lambda some: collection.features(ids[some]), cosine)
    else:
        groups = group_codes(codes, collection.n_bits, radius)
    return _without_ignored(collection, pictures.split([ids[group] for group in groups]))


def group_codes(codes: Codes, n_bits: int, radius: int) -> list[Positions]:
    """Return groups of codes that are connected by steps of at most ``radius`` bits.

    Not all pairs are compared: if the codes are cut into ``radius + 1`` parts, two codes that differ in at most
    ``radius`` bits agree in at least one part (the pigeonhole principle; Norouzi, Punjani & Fleet 2012), so only codes
    that share a part are compared. Identical codes are compared once.

    Each group holds the positions, ascending, of two or more codes; the largest group is first, then by first position.
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
    """Return groups as `group_codes` does, but link only items whose features have at least a given cosine.

    The features of all items with another item within ``radius`` are held in memory, two bytes per value.
    """
    if not 0 < cosine <= 1:
        raise GannetError(f"the cosine must be above 0 and at most 1, not {cosine:g}")
    near = group_codes(codes, n_bits, radius)
    if not near:
        return []
    members = np.concatenate(near)
    members = members[np.lexsort(as_words(codes[members]).T)]  # rows that are compared lie close together in memory
    kept = FixedPoint.read(features, members)
    group = np.arange(len(codes))
    group[members] = members[_link(codes[members], n_bits, min(radius, n_bits), kept, cosine)]
    return _members(group)


def _same(codes: Codes) -> tuple[Positions, Positions]:
    """Return the position of one copy of each distinct code, and the number of the distinct code at each position."""
    words = as_words(codes)
    order = np.lexsort(words.T)
    new = np.ones(len(codes), bool)
    new[1:] = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    group = np.empty(len(codes), np.int64)
    group[order] = np.cumsum(new) - 1
    return order[new], group


def _members(group: Positions) -> list[Positions]:
    """Return the positions of each group of two or more, given the group number of each position."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(starts, append=len(group))
    several = sizes > 1
    starts, sizes = starts[several], sizes[several]
    first = np.lexsort((order[starts], -sizes))
    return [order[start : start + size] for start, size in zip(starts[first], sizes[first], strict=True)]


def _link(codes: Codes, n_bits: int, radius: int, features: FixedPoint | None = None, cosine: float = 0.0) -> Positions:
    """Return, per code, the first code of its group; if ``cosine`` is above 0, links also need similar features."""
    from gannet.retrieval import _pairs as pairs

    kept = features or FixedPoint.none()
    alike = kept.values, kept.lengths, cosine
    words = as_words(codes).T
    tables = [(words[:, order], order, ends) for order, ends in _tables(codes, n_bits, radius)]

    def join(tasks: Iterator[tuple[int, int]]) -> Positions:
        parents = np.arange(len(codes))
        for table, start in tasks:
            last = min(start + _PLACES_PER_TASK, len(codes))
            pairs.join_near(*tables[table], radius, *alike, start, last, parents)
        return parents

    tasks = [(table, start) for table in range(len(tables)) for start in range(0, len(codes), _PLACES_PER_TASK)]
    parents, *others = threads.share(tasks, join)
    for other in others:
        pairs.join_all(parents, other)
    pairs.roots(parents)
    return parents


def _tables(codes: Codes, n_bits: int, radius: int) -> Iterator[tuple[Positions, Positions]]:
    """Yield, per part of the codes, the order of the codes sorted by that part, and where their buckets end.

    A bucket holds the codes that agree in the part. If the parts are too short to save comparisons, there is a single
    bucket with all codes.
    """
    n, n_parts = len(codes), radius + 1
    tables, work = [], 0
    for part in range(n_parts):
        # A part consists of every n-th bit, as adjacent bits of some methods are correlated.
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
