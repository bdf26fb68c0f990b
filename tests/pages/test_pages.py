"""Pages are one complete file, escape every name, and stay complete when pictures or figures are missing."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gannet.errors import GannetError
from gannet.pages import (
    DemoNeighbor,
    DemoPicture,
    DemoQuery,
    DemoReport,
    Score,
    demo_page,
    duplicates_page,
    read_picture,
    search_page,
)
from gannet.pages.pictures import PAGE_BYTES
from gannet.pages.search import QUERIES, RESULTS

VOID = {"meta", "link", "img", "br", "rect", "path", "line", "polyline", "polygon"}
TITLE = "Neighbors"
HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '"><img src=x onerror=alert(1)>.jpg',
    "' onmouseover='alert(1).jpg",
    "</style></title>&amp;{{ 7 * 7 }}{% raw %}.jpg",
    "javascript:alert(1)",
    "https://example.org/a.jpg",
]


class Page(HTMLParser):
    """The elements of a page. Parsing fails if they are not properly nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        assert tag in VOID, tag

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def all(self, tag: str, kind: str = "") -> list[dict[str, str]]:
        """Return the attributes of the elements with this tag and class."""
        return [
            attrs
            for name, attrs in self.elements
            if name == tag and (not kind or kind in attrs.get("class", "").split())
        ]

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return tags and names of attributes, without the values of the attributes."""
        return [(tag, tuple(attrs)) for tag, attrs in self.elements]


def jpeg(width: int = 32, height: int = 32) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 120, 40)).save(out, "JPEG")
    return out.getvalue()


def results(*paths: str) -> list[dict[str, object]]:
    near = [{"id": i, "path": path, "distance": i} for i, path in enumerate(paths)]
    return [{"query": path, "results": near} for path in paths]


def page(paths: list[str], title: str = TITLE, n_bits: int = 64, thumbnail: bytes | None = None) -> Page:
    html = search_page(results(*paths), title, n_bits, lambda _: thumbnail)
    html.encode("utf-8")
    return Page(html)


def report(name: str = "CIFAR-10", thumbnail: bytes | None = None) -> DemoReport:
    picture = DemoPicture(f"/data/{name}/1.png", name, thumbnail)
    return DemoReport(
        dataset=name,
        found=f"in {name}",
        attempts=(f"{name}: not there",),
        n_training=10_000,
        n_database=59_000,
        n_queries=1_000,
        n_classes=10,
        backbone="EfficientNet-Lite0",
        n_features=1280,
        method="UHGA",
        n_bits=7,
        fit_seconds=83.2,
        images_per_second=271.4,
        scores=(Score("UHGA", "7 bits", 0.3612, True), Score("ITQ", "7 bits", 0.3049), Score("Float", "5 KB", 0.2)),
        same_class_distances=(4, 3, 2, 1, 0, 0, 0, 0),
        other_class_distances=(0, 0, 1, 2, 3, 4, 0, 0),
        n_distinct_codes=101,
        ones_per_bit=(0.5, 0.41, 0.5, 0.5, 0.5, 0.5, 0.583),
        queries=(DemoQuery(picture, (DemoNeighbor(picture, 0, True), DemoNeighbor(picture, 5, False))),),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(), max_size=30), min_size=2, max_size=2), st.text(st.characters(), max_size=30))
def test_no_path_and_no_title_ever_becomes_markup(paths: list[str], title: str) -> None:
    plain = page(["a.jpg", "b.jpg"])
    assert page(paths, title).shape() == plain.shape()


@settings(max_examples=40, deadline=None)
@given(st.text(st.characters(), max_size=30))
def test_no_name_of_a_class_or_data_set_ever_becomes_markup(name: str) -> None:
    html = demo_page(report(name))
    html.encode("utf-8")
    assert Page(html).shape() == Page(demo_page(report())).shape()


@pytest.mark.parametrize("path", HOSTILE)
def test_hostile_paths_are_shown_unchanged(path: str) -> None:
    found = page([path], title=path)
    assert path in found.text
    assert found.all("span", "missing")[0]["title"] == path
    assert found.all("script") == []


@pytest.mark.parametrize("thumbnail", [None, jpeg()])
def test_pages_ask_for_nothing_outside(thumbnail: bytes | None) -> None:
    for found in (page(HOSTILE, thumbnail=thumbnail), Page(demo_page(report(HOSTILE[-1], thumbnail)))):
        for _, attrs in found.elements:
            assert all(attrs[name].startswith("data:") for name in ("src", "href") if name in attrs)
            assert not {"srcset", "action", "background", "poster", "ping"} & set(attrs)
        assert not {"script", "iframe", "object", "form"} & {tag for tag, _ in found.elements}


def test_the_stylesheet_loads_nothing() -> None:
    html = search_page([], TITLE, 64, lambda _: None)
    assert not re.search(r"url\(|@import|https?:", html)
    assert "default-src 'none'" in html


def test_names_that_are_not_utf8_are_spelled_out() -> None:
    found = page(["/x/caf\udce9.jpg", "/x/\ud800.jpg"])
    assert r"caf\udce9.jpg" in found.text
    assert r"\ud800.jpg" in found.text


def test_characters_that_disguise_a_name_are_spelled_out() -> None:
    found = page(["/x/photo\u202egpj.exe", "/x/two\nlines\x00.jpg"])
    assert r"photo\u202egpj.exe" in found.text
    assert r"two\nlines\x00.jpg" in found.text


def test_names_in_any_script_stay_readable() -> None:
    names = ["/x/été 写真\u3000夏.jpg", "/x/Screenshot 3.04\u202fPM.png", "/x/👩\u200d👧.jpg"]
    text = page(names).text
    assert all(name in text for name in names)


def test_pictures_are_inlined_and_described() -> None:
    thumbnail = jpeg()
    images = page(["/x/a.jpg"], thumbnail=thumbnail).all("img")
    assert len(images) == 2
    for image in images:
        head, _, data = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        assert base64.b64decode(data) == thumbnail
        assert image["alt"] == "a.jpg"
        assert image["title"] == "/x/a.jpg"


def test_only_tiny_pictures_are_enlarged_to_pixels() -> None:
    assert all(image["class"] == "pixels" for image in page(["a"], thumbnail=jpeg(32, 32)).all("img"))
    assert not any("class" in image for image in page(["a"], thumbnail=jpeg(288, 20)).all("img"))


def test_each_picture_is_read_once() -> None:
    asked: list[str] = []
    search_page(results("a", "b", "c"), TITLE, 64, lambda path: asked.append(path))
    assert sorted(asked) == ["a", "b", "c"]


def test_missing_pictures_leave_their_names() -> None:
    found = page(["/x/matrix.npy#17"])
    assert found.all("img") == []
    missing = found.all("span", "missing")
    assert [span["title"] for span in missing] == ["/x/matrix.npy#17"] * 2
    assert missing[0]["aria-label"] == "matrix.npy#17, no picture"


def test_empty_results_say_so() -> None:
    assert "No queries." in page([]).text
    found = Page(search_page([{"query": "a.jpg", "results": []}], TITLE, 64, lambda _: None))
    assert "No neighbors found." in found.text
    assert found.all("details") == []


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
def test_distances_are_given_out_of_all_bits(n_bits: int) -> None:
    result = {"query": "a", "results": [{"id": 0, "path": "b", "distance": d} for d in (0, n_bits)]}
    found = Page(search_page([result], TITLE, n_bits, lambda _: None))
    unit = "bit" if n_bits == 1 else "bits"
    assert f"0 of {n_bits} {unit} differ" in found.text
    assert f"{n_bits} of {n_bits} {unit} differ" in found.text
    assert [bar["width"] for bar in found.all("rect", "fill")] == ["0.00%", "100.00%"]


def test_a_length_that_no_code_has_is_refused() -> None:
    with pytest.raises(GannetError):
        search_page([], TITLE, 0, lambda _: None)


@pytest.mark.parametrize("found", [page(["a.jpg"], thumbnail=jpeg()), Page(demo_page(report()))])
def test_pages_can_be_read_aloud(found: Page) -> None:
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("h1")) == len(found.all("main")) == len(found.all("title")) == 1
    levels = [int(tag[1]) for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = [attrs["id"] for _, attrs in found.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in found.elements if "aria-labelledby" in attrs} <= set(ids)
    assert all("aria-hidden" in svg or svg["aria-label"] for svg in found.all("svg"))
    assert all(image["alt"] for image in found.all("img"))


def test_demo_shows_data_scores_and_failed_attempts() -> None:
    text = " ".join(Page(demo_page(report())).text.split())
    for part in ("59,000", "1,000 queries", "1 min 23 s", "271/s", "1 byte", "CIFAR-10: not there", "in CIFAR-10"):
        assert part in text
    for figure in ("0.361", "0.3612", "0.305", "0.3049", "101 of the 59,000", "41 to 58"):
        assert figure in text
    assert "same class differ in 1.0 bits on average, two pictures of different classes in 4.0 bits" in text
    assert "gannet fit ~/Pictures -o photos.model" in text


def test_demo_marks_classes_in_words_and_shapes() -> None:
    html = demo_page(report())
    text = " ".join(Page(html).text.split())
    assert "CIFAR-10, same class" in text
    assert "CIFAR-10, another class" in text
    items = [item["class"] for item in Page(html).all("li", "item")]
    assert items == ["item same", "item other"]
    assert len({mark["d"] for mark in Page(html).all("path")}) == 2


def test_demo_bars_are_in_proportion() -> None:
    bars = Page(demo_page(report())).all("rect", "fill")[:3]
    assert [bar["width"] for bar in bars] == ["100.00%", "84.41%", "55.37%"]


def test_demo_without_results_is_still_a_page() -> None:
    bare = replace(
        report(),
        attempts=(),
        scores=(),
        same_class_distances=(),
        other_class_distances=(),
        ones_per_bit=(),
        queries=(),
    )
    text = Page(demo_page(bare)).text
    assert "No queries." in text
    assert "Data sets that were tried first" not in text


def test_pictures_are_read_by_path_or_left_out(tmp_path: Path) -> None:
    Image.new("RGB", (400, 200), "teal").save(tmp_path / "a.png")
    found = read_picture(str(tmp_path / "a.png"))
    assert found is not None
    assert Image.open(io.BytesIO(found)).size == (288, 144)
    assert read_picture(str(tmp_path / "gone.png")) is None
    assert read_picture(str(tmp_path / "rows.npy#3")) is None


# Limits ---------------------------------------------------------------------------------------------


def test_a_page_limits_queries_and_results_and_says_so() -> None:
    near = [{"id": i, "path": f"{i}.jpg", "distance": 0} for i in range(RESULTS + 3)]
    found = Page(search_page([{"query": "a", "results": near}] * (QUERIES + 2), TITLE, 64, lambda _: None))
    text = " ".join(found.text.split())
    assert f"{QUERIES + 2} queries with" in text and f"This page shows the first {QUERIES} queries." in text
    assert text.count("and 3 more results") == QUERIES
    assert len(found.all("li", "item")) == QUERIES * RESULTS
    assert "left out" not in text


@pytest.mark.parametrize("kind", ["search", "duplicates"])
def test_the_pictures_of_a_page_are_limited_in_size(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=98)
    paths = [f"{i}.jpg" for i in range(80)]
    items = [{"id": i, "path": path, "distance": 0} for i, path in enumerate(paths)]
    read: list[str] = []

    def picture(path: str) -> bytes:
        read.append(path)
        return out.getvalue()

    if kind == "search":
        html = search_page([{"query": "q.jpg", "results": items}], TITLE, 64, picture)
    else:
        html = duplicates_page([items[i : i + 10] for i in range(0, 80, 10)], TITLE, 64, 0, picture)
    assert len(html) < PAGE_BYTES + 2 * len(out.getvalue()) + 200_000
    found = Page(html)
    left_out = len(found.all("span", "missing"))
    assert left_out > 0 and len(read) == len(found.all("img")) == len(items) + (kind == "search") - left_out
    assert f"{left_out} pictures are left out to limit the size of this page" in " ".join(found.text.split())


def test_an_error_is_shown_as_text_in_its_place() -> None:
    hostile = "<script>alert(1)</script>.jpg is not an image\u202e"
    answers = [{"query": "a.jpg", "results": [], "error": hostile}, *results("b.jpg")]
    found = Page(search_page(answers, TITLE, 64, lambda _: jpeg()))
    assert found.all("script") == [] and "Not answered: <script>alert(1)" in " ".join(found.text.split())
    assert [span["title"] for span in found.all("span", "missing")] == ["a.jpg"]
    assert "No neighbors found" not in found.text


def test_the_new_picture_of_a_changed_item_is_not_shown() -> None:
    near = [{"id": 0, "path": "old.jpg", "distance": 0, "changed": True}, {"id": 1, "path": "b.jpg", "distance": 1}]
    answers = [{"query": "0", "results": near, "changed": True}, {"query": "old.jpg", "results": near, "changed": True}]
    found = Page(search_page(answers, TITLE, 64, lambda _: jpeg()))
    assert [image["title"] for image in found.all("img")] == ["b.jpg", "old.jpg", "b.jpg"]
    assert len(found.all("span", "changed")) == 4
