"""The page of near-duplicates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gannet.pages.pictures import Album, Picture, all_tiny
from gannet.pages.rendering import render

if TYPE_CHECKING:
    from gannet.retrieval.duplicates import Member

#: The page embeds its pictures, so it shows only this many groups, and this many items of each.
GROUPS, MEMBERS = 200, 20


@dataclass(frozen=True)
class _Item:
    id: int
    picture: Picture
    note: str


@dataclass(frozen=True)
class _Group:
    size: int
    items: Sequence[_Item]


def duplicates_page(
    groups: Sequence[Sequence[Member]],
    title: str,
    n_bits: int,
    radius: int | None,
    picture: Callable[[str], bytes | None],
    cosine: float = 0.0,
) -> str:
    """Return the HTML page of near-duplicates: the first 200 groups, and the first 20 items of each.

    Pictures are embedded until they take about 32 MB together. An item that is marked as changed since it was indexed
    is shown without its picture. ``radius`` is None if bytes and pixels were compared, and ``cosine`` is 0 if only
    codes were. ``picture`` maps the path of an item to its JPEG thumbnail, or to None if it has none.
    """
    album = Album(picture)
    shown = [
        _Group(
            len(group),
            [
                _Item(member["id"], album.picture(member["path"], changed, hidden=changed), _describe(member))
                for member in group[:MEMBERS]
                for changed in [member.get("changed", False)]
            ],
        )
        for group in groups[:GROUPS]
    ]
    return render(
        "duplicates.html",
        title=title,
        n_bits=n_bits,
        radius=radius,
        cosine=cosine,
        n_groups=len(groups),
        groups=shown,
        left_out=album.left_out,
        tiny=all_tiny(item.picture for group in shown for item in group.items),
    )


def _describe(member: Member) -> str:
    """Return one line about an item's picture: whether to keep it, its sizes and its date."""
    parts = ["keep"] if member.get("keep") else []
    if member.get("width"):
        parts.append(f"{member['width']} x {member['height']}")
    if (n_bytes := member.get("bytes")) is not None:
        parts.append(f"{n_bytes / 1000:,.1f} kB")
    if date := member.get("date"):
        parts.append(date)
    return ", ".join(parts)
