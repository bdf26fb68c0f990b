"""The page of a benchmark: one file with all figures, and charts whose marks stay within the drawing."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.data.base import ArraySource
from gannet.evaluation.protocols import Protocol, Split, get_protocol
from gannet.evaluation.record import Record, Retrieval, TrainingPoint
from gannet.evaluation.split_data import SplitData
from gannet.hashers import get_hasher
from gannet.hashers.settings import defaults
from gannet.pages.bench_report import bench_page
from gannet.pages.charts import HEIGHT, WIDTH, Series, line_chart, nice_ticks, spread_out

VOID = {"img", "meta", "link", "rect", "path", "line", "polyline"}


class Page(HTMLParser):
    """Collects the elements, table rows and texts of a page; fails if elements are not properly nested."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.text, self.rows, self.ids, self._open = [], "", [], [], []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(attrs) == len(dict(attrs))
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        assert tag in VOID

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" in self._open:
            return
        self.text += data
        if {"td", "th"} & set(self._open):
            self.rows[-1][-1] = f"{self.rows[-1][-1]} {data.strip()}".strip()


def record(method, bits, seed=0, value=0.3, bits_on=(0.42, 0.61), **settings):
    steps = [i / bits for i in range(bits + 1)]
    return Record(
        method=method, bits=bits, seed=seed, map=value, map_at=None, map_best=value + 0.01, map_worst=value - 0.01,
        map_min_denominator=value, precision_at={10: 0.5}, recall_at={10: 0.1}, float_map=0.4, precision_radius_2=0.2,
        fit_seconds=1.5, encode_seconds=0.011, radius_recall=steps, radius_precision=[1 - 0.9 * x for x in steps],
        n_queries=1000, n_database=10_000, n_without_relevant=0, n_train=500, bit_entropy=0.987, distinct_codes=7500,
        settings={**defaults(get_hasher(method)), **settings}, protocol="p", split="abcdef",
        backbone="efficientnet-lite0", bits_on=bits_on,
    )  # fmt: skip


RECORDS = [
    record("itq", 16, value=0.2), record("itq", 16, 1, value=0.3), record("itq", 32, value=0.25),
    record("uhga-plain", 16, value=0.3), record("uhga", 16, value=0.35), record("uhga", 16, 1, value=0.37),
]  # fmt: skip
PAPERS = get_protocol("cifar10-uhga")
OWN = Protocol("pets", "own", "your own data", "A reading.", "random", n_queries=10, map_at=50)


def test_measured_and_published_tables_name_their_backbones():
    page = Page(bench_page(PAPERS, RECORDS, "gannet bench cifar10-uhga"))
    assert "Measured MAP@ALL, features of efficientnet-lite0" in page.text
    assert "The paper's MAP@ALL, features of AlexNet, FC-7" in page.text
    assert ["itq", "0.2500 ± 0.0707 ×1.00", "0.2500 , the best ×1.00"] in page.rows
    assert ["uhga", "0.3600 , the best ± 0.0141 ×1.44", "– not measured"] in page.rows
    assert ["float cosine", "0.4000 ×1.60", "0.4000 ×1.60"] in page.rows
    paper = next(row for row in page.rows if row[0] == "sph")
    assert paper == ["sph", "0.1664 ×0.83", "0.1745 ×0.83", "0.1931 ×0.87", "0.1992 ×0.86"]
    assert ["uhga over uhga-plain, efficientnet-lite0", "+0.0600", *["– not measured"] * 3] in page.rows


def test_speed_codes_split_and_command_are_there():
    page = Page(bench_page(PAPERS, RECORDS, "gannet bench cifar10-uhga --methods itq,uhga"))
    assert ["uhga-plain", "1.50", "– not measured"] in page.rows
    assert ["uhga-plain", "1.00", "– not measured"] in page.rows  # 0.011 s / 11,000 items
    assert ["uhga-plain", "0.987 on in 42 to 61%", "– not measured"] in page.rows
    assert ["uhga-plain", "75.0% 2,500 repeat", "– not measured"] in page.rows
    for part in ("abcdef", "gannet bench cifar10-uhga --methods itq,uhga", PAPERS.reading, PAPERS.citation):
        assert part in page.text
    assert "similarity_threshold=0.2" in page.text


def test_the_page_is_one_file_and_asks_for_nothing():
    html = bench_page(PAPERS, RECORDS, "x")
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "img", "object"}
    assert not re.search(r"https?://|url\(|@import", html)
    assert len(page.ids) == len(set(page.ids))
    for _, attributes in page.tags:
        assert attributes.get("aria-labelledby", page.ids[0]) in page.ids
        assert attributes.get("role") != "img" or attributes["aria-label"]
    for tag, attributes in page.tags:
        assert tag != "th" or attributes.get("scope") in ("row", "col")


def test_own_data_have_no_paper_beside_them():
    page = Page(bench_page(OWN, [record("itq", 1)], "x"))
    assert "AlexNet" not in page.text
    assert "The paper" not in page.text
    assert "MAP@50" in page.text
    assert "Gain from gradient attention" not in page.text
    assert ["", "1 bit"] in [["", *row[1:]] for row in page.rows]


def test_a_sweep_has_its_own_chart_and_leaves_the_others():
    swept = [record("uhga", 16, value=0.3 - x / 10, similarity_threshold=x) for x in (0.0, 0.1, 0.5)]
    page = Page(bench_page(PAPERS, RECORDS + swept, "x"))
    assert "uhga by similarity_threshold" in page.text
    assert ["0.5", "0.2500"] in page.rows
    assert ["0.5", "0.2837", "0.3195", "0.3404", "0.3629"] in page.rows
    assert not [row for row in page.rows if row[0].startswith("uhga similarity_threshold")]
    assert "16 bits, paper" in page.text
    alone = Page(bench_page(PAPERS, swept, "x"))
    assert "uhga similarity_threshold=0.5" in alone.text


def test_methods_swept_over_one_setting_are_drawn_together():
    both = [record(method, 16, n_steps=n, value=n / 999) for method in ("uhga-plain", "uhga") for n in (100, 200)]
    page = Page(bench_page(OWN, both, "x"))
    labels = {attributes.get("aria-label") for _, attributes in page.tags}
    assert "Methods by n_steps" in page.text
    assert "MAP against n_steps at 16 bits; the tables below have the same figures" in labels
    assert "Methods by" not in Page(bench_page(OWN, both[:2], "x")).text


def test_training_curves_are_drawn_where_records_hold_them():
    def curve(scale, n=4):
        return [TrainingPoint(i + 1, scale * i, 0.1 * scale, 0.0) for i in range(n)]

    assert 'id="training"' not in bench_page(OWN, RECORDS, "x")
    records = [replace(RECORDS[3], training=curve(1)), replace(RECORDS[4], training=curve(2)), *RECORDS[:3], RECORDS[5]]
    page = Page(bench_page(OWN, records, "x"))
    labels = {attributes.get("aria-label") for _, attributes in page.tags}
    for title in ("Loss", "Bits that flip in a step, %", "Differing bits flipped on both sides, %"):
        assert title in page.text
        assert f"{title}, against steps, at 16 bits" in labels
        assert f"{title}, against steps, at 32 bits" not in labels


def test_a_sweep_of_words_has_tables_alone():
    words = [record("uhga", 16, loss=loss) for loss in ("squared", "likelihood")]
    page = Page(bench_page(OWN, words, "x"))
    assert "uhga by loss" in page.text
    assert "MAP against loss" not in page.text
    assert ["likelihood", "0.3000"] in page.rows


def test_records_without_the_balance_of_bits_and_useless_codes_are_shown():
    nothing = record("lsh", 7, bits_on=None, value=0.0)
    nothing = replace(nothing, radius_recall=[0.0] * 8, radius_precision=[0.0] * 8)
    page = Page(bench_page(OWN, [nothing, replace(nothing, method="itq", settings={})], "x"))
    assert ["lsh", "0.987"] in page.rows


def test_figures_by_score_have_their_own_section():
    by_distance = [record("itq", bits) for bits in (16, 32)]
    assert "asymmetric" not in Page(bench_page(OWN, by_distance, "x")).text
    by_score = [replace(each, map_asymmetric=each.map + 0.125) for each in by_distance]
    page = Page(bench_page(OWN, [*by_score, record("lsh", 16)], "x"))
    assert "by-score" in page.ids
    assert ["itq", *(f"{each.map + 0.125:.4f} , the best +0.1250" for each in by_score)] in page.rows
    assert not [row for row in page.rows if "0.1250" in str(row) and row[0] != "itq"]


def test_hostile_names_are_escaped():
    bad = replace(record("itq", 8), split="<script>alert(1)</script>", backbone='"><img src=x>')
    page = Page(bench_page(OWN, [bad], "gannet bench '</code><b>'"))
    assert not {tag for tag, _ in page.tags} & {"script", "img"}
    assert "<script>alert(1)</script>" in page.text


finite = st.floats(-1e6, 1e6)


@given(finite, st.floats(0, 1e6))
def test_ticks_are_even_and_enclose_the_range(low, room):
    high = low + room
    ticks = nice_ticks(low, high)
    steps = [b - a for a, b in pairwise(ticks)]
    assert 3 <= len(ticks) <= 9
    assert max(steps) - min(steps) <= 1e-6 * max(steps) + 1e-9 * abs(high)
    assert ticks[0] <= low + 1e-6 * steps[0]
    assert ticks[-1] >= high - 1e-6 * steps[0]


@given(st.lists(st.floats(0, 300), min_size=1, max_size=20))
def test_labels_keep_their_order_and_distance(places):
    result = spread_out(places, 15, 0, 300)
    order = sorted(range(len(places)), key=lambda i: places[i])
    assert all(result[b] - result[a] >= 15 - 1e-6 for a, b in pairwise(order))
    assert min(result) >= 0
    assert max(result) <= max(300, 15 * (len(places) - 1)) + 1e-6
    spaced = [20.0 * i for i in range(15)]
    assert spread_out(spaced, 15, 0, 300) == pytest.approx(spaced)


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-1e3, 1e3), st.floats(0, 10)), min_size=1, max_size=12))
def test_charts_stay_on_their_drawing(points):
    series = Series("a", [(x, y) for x, y, _ in points], 9, spread=[by for _, _, by in points])
    chart = line_chart([series, Series("b", [(0.0, 0.0)], None)], "label", "x", "y", [(0.0, "0")])
    assert chart.curves[0].dashed
    assert chart.curves[0].style != chart.curves[1].style
    for curve in chart.curves:
        for place in curve.line.split():
            x, y = map(float, place.split(","))
            assert 0 <= x <= WIDTH
            assert 0 <= y <= HEIGHT
        for y in re.findall(r"M[-\d.]+ ([-\d.]+)V([-\d.]+)", curve.bars):
            assert all(-0.1 <= float(place) <= HEIGHT + 0.1 for place in y)


def test_examples_show_the_results_of_each_method():
    source = ArraySource("set", np.zeros((6, 4, 4), np.uint8), {"all": 6}, np.zeros(6, np.int64), ())
    split = Split(np.array([4, 5]), np.array([0, 1, 2, 3]), np.array([0]), "abcdef")
    data = SplitData(np.zeros((6, 1)), np.zeros(6), split, source)
    found = [Retrieval(1, [(3, 2, 1), (0, 5, 0)])]
    records = [replace(RECORDS[0], examples=found), replace(RECORDS[3], examples=found)]
    page = Page(bench_page(OWN, records, "x", data))
    assert "Query 5" in page.text
    assert [
        row for row in page.rows if row[0] == "uhga-plain" and row[1:] == ["2 bits, relevant", "5 bits, not relevant"]
    ]
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 5
    assert all(src.startswith("data:image/jpeg;base64,") for src in pictures)
    assert 'id="examples"' not in bench_page(OWN, RECORDS, "x", data)
