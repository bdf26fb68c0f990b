"""Render self-contained pages: one file, no script, no outside request, pictures inlined."""

from __future__ import annotations

import base64
import io
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath
from typing import Any, NotRequired, TypedDict

import jinja2
from markupsafe import Markup
from PIL import Image

from gannet.codes import n_bytes
from gannet.data import read_item, thumbnail
from gannet.errors import GannetError
from gannet.pages.demo_report import DemoPicture, DemoReport

#: Longer side in pixels of the thumbnails a page shows: twice what it shows them at, for fine screens.
PICTURE_SIDE = 288

#: A page holds all its pictures: of near-duplicates it shows this many groups, and items of each.
GROUPS, MEMBERS = 200, 20

# Pictures up to this side are enlarged to crisp pixels instead of a blur.
_TINY = 64
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


class SearchNeighbour(TypedDict):
    """One result of a query, as ``gannet search --json`` gives it."""

    id: int
    path: str
    distance: int
    cosine: NotRequired[float]


class SearchResult(TypedDict):
    """A query and its results, nearest first."""

    query: str
    results: list[SearchNeighbour]


@dataclass(frozen=True)
class Picture:
    """A picture as the templates show it; ``uri`` is None where there is nothing to show but the name."""

    path: str
    name: str
    uri: str | None
    tiny: bool


@dataclass(frozen=True)
class _Neighbour:
    picture: Picture
    label: str
    distance: int
    same_class: bool | None


@dataclass(frozen=True)
class _Query:
    picture: Picture
    label: str
    neighbours: Sequence[_Neighbour]


class GroupMember(TypedDict):
    """An item of a group, as ``gannet duplicates --json`` gives it."""

    id: int
    path: str


@dataclass(frozen=True)
class _Member:
    id: int
    picture: Picture


@dataclass(frozen=True)
class _Group:
    size: int
    members: Sequence[_Member]


@dataclass(frozen=True)
class _Curve:
    """Shares of all pairs at distance 0, 1, ... and their mean distance."""

    shares: Sequence[float]
    mean: float

    @classmethod
    def of(cls, counts: Sequence[int]) -> _Curve:
        total = sum(counts) or 1
        return cls([count / total for count in counts], sum(x * count for x, count in enumerate(counts)) / total)


def search_page(
    results: Sequence[SearchResult], title: str, n_bits: int, picture: Callable[[str], bytes | None]
) -> str:
    """Return the HTML page of a search.

    Args:
        results: queries and their neighbours, as ``gannet search --json`` gives them.
        title: heading of the page.
        n_bits: length of the codes, which the distances are out of.
        picture: a JPEG thumbnail of the item with this path, or None where there is none; see `read_picture`.

    Raises
    ------
        GannetError: ``n_bits`` is not a length of codes.
    """
    n_bytes(n_bits)
    shown = cache(lambda path: make_picture(path, picture(path)))
    queries = [
        _Query(
            shown(result["query"]),
            _name(result["query"]),
            [
                _Neighbour(shown(item["path"]), _name(item["path"]), item["distance"], None)
                for item in result["results"]
            ],
        )
        for result in results
    ]
    return render("search.html", title=title, n_bits=n_bits, queries=queries, tiny=_all_tiny(queries))


def duplicates_page(
    groups: Sequence[Sequence[GroupMember]],
    title: str,
    n_bits: int,
    radius: int,
    picture: Callable[[str], bytes | None],
    cosine: float = 0.0,
) -> str:
    """Return the HTML page of near-duplicates: the first `GROUPS` groups, and of each the first `MEMBERS` items.

    Args:
        groups: as ``gannet duplicates --json`` gives them.
        title: heading of the page.
        n_bits: length of the codes.
        radius: bits in which items that are linked differ at most.
        picture: as for `search_page`.
        cosine: that of the features of items that are linked is at least this; 0 where codes alone were compared.
    """
    shown = [
        _Group(
            len(group),
            [_Member(item["id"], make_picture(item["path"], picture(item["path"]))) for item in group[:MEMBERS]],
        )
        for group in groups[:GROUPS]
    ]
    pictures = [member.picture for group in shown for member in group.members]
    return render(
        "duplicates.html",
        title=title,
        n_bits=n_bits,
        radius=radius,
        cosine=cosine,
        n_groups=len(groups),
        groups=shown,
        tiny=all(picture.tiny for picture in pictures if picture.uri is not None),
    )


def demo_page(report: DemoReport) -> str:
    """Return the HTML page of the demo."""
    queries = [
        _Query(
            _demo_picture(query.picture),
            query.picture.class_name,
            [
                _Neighbour(_demo_picture(near.picture), near.picture.class_name, near.distance, near.same_class)
                for near in query.neighbours
            ],
        )
        for query in report.queries
    ]
    return render(
        "demo.html",
        report=report,
        n_bits=report.n_bits,
        code_bytes=n_bytes(report.n_bits),
        queries=queries,
        tiny=_all_tiny(queries),
        same=_Curve.of(report.same_class_distances),
        other=_Curve.of(report.other_class_distances),
    )


def read_picture(path: str) -> bytes | None:
    """Return a JPEG thumbnail of an item by its path; None for a matrix's row and what can no longer be read."""
    try:
        return thumbnail(read_item(path), PICTURE_SIDE)
    except GannetError:
        return None


def _demo_picture(picture: DemoPicture) -> Picture:
    return make_picture(picture.path, picture.jpeg)


def make_picture(path: str, jpeg: bytes | None) -> Picture:
    """Return a picture for the templates from its path and a JPEG thumbnail, or None where there is none."""
    if jpeg is None:
        return Picture(path, _name(path), None, False)
    with Image.open(io.BytesIO(jpeg)) as image:
        tiny = max(image.size) <= _TINY
    return Picture(path, _name(path), "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"), tiny)


def _name(path: str) -> str:
    return PurePath(path).name or path


def _all_tiny(queries: Sequence[_Query]) -> bool:
    """Tell whether every picture is tiny, so that the page can show them smaller."""
    pictures = [query.picture for query in queries] + [near.picture for query in queries for near in query.neighbours]
    return all(picture.tiny for picture in pictures if picture.uri is not None)


def render(template: str, **values: Any) -> str:
    """Return a template of this package filled in; every value is made visible and escaped."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gannet.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": "{:,}".format, "duration": _duration}
    return environment


def _visible(value: object) -> object:
    r"""Spell out characters that a page cannot hold or show, as in ``\udcff`` and ``\n``.

    These are control characters, the surrogates that stand for bytes of names that are not UTF-8, and the marks
    that reverse the direction of text, by which a name can look like another. Every value of every template
    comes through here before it is escaped.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _HIDDEN and char not in _JOINERS
        else char
        for char in value
    )


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
