"""Sweeps: reading them, their cells, and their tables with the figures of the paper."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.errors import GannetError
from gannet.evaluation import published
from gannet.evaluation.benchmark import make_cells
from gannet.evaluation.results import sweep_tables
from gannet.evaluation.summary import attention_gains, sweeps, variant
from gannet.evaluation.sweep import Sweep, read_sweep, sweep_cells
from gannet.hashers import get_hasher
from gannet.hashers.settings import defaults
from made_records import make_record

THRESHOLD = "similarity_threshold"


def test_a_range_holds_its_stop_and_no_rounding():
    sweep = read_sweep("similarity_threshold=0:0.9:0.1")
    assert sweep.setting == THRESHOLD
    assert [float(value) for value in sweep.values] == [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    assert read_sweep("n_steps=100:350:100") == Sweep("n_steps", ("100", "200", "300"))
    assert read_sweep("x=-0.5:-0.5:1").values == ("-0.5",)
    assert read_sweep("learning_rate=1e-4:2e-4:1e-4").values == ("0.0001", "0.0002")


def test_a_list_keeps_its_order_without_repetitions():
    assert read_sweep("loss=squared, likelihood,squared") == Sweep("loss", ("squared", "likelihood"))


@given(st.integers(-50, 50), st.integers(0, 60), st.integers(1, 20), st.integers(0, 3))
def test_a_range_counts_as_whole_numbers_do(start, length, step, digits):
    numbers = [f"{number / 10**digits:.{digits}f}" for number in (start, start + length, step)]
    values = read_sweep("x=" + ":".join(numbers)).values
    expected = [number / 10**digits for number in range(start, start + length + 1, step)]
    assert [float(value) for value in values] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("similarity_threshold", "SETTING=START:STOP:STEP"),
        ("=1,2", "SETTING=START:STOP:STEP"),
        ("x=", "SETTING=START:STOP:STEP"),
        ("x=1,,2", "SETTING=START:STOP:STEP"),
        ("x=0:1", "SETTING=START:STOP:STEP"),
        ("x=0:1:a", "SETTING=START:STOP:STEP"),
        ("x=0:1:0", "STEP above 0"),
        ("x=0:1:-0.1", "STEP above 0"),
        ("x=1:0:0.1", "STEP above 0"),
        ("x=0:inf:1", "STEP above 0"),
        ("x=0:nan:1", "STEP above 0"),
        ("x=0:1:1e-9", "larger step"),
        ("x=0:1e99999:1e-99999", "at most 1,000,000,000"),
    ],
)
def test_invalid_sweeps_are_refused_in_one_line(text, message):
    with pytest.raises(GannetError, match=message) as error:
        read_sweep(text)
    assert "\n" not in str(error.value)


def test_methods_with_the_setting_run_at_each_value_and_the_others_once():
    cells = sweep_cells(["itq", "uhga"], [16, 32], 2, {"n_steps": "5"}, Sweep(THRESHOLD, ("0.1", "0.10", "0.2")))
    assert sum(cell.method == "itq" for cell in cells) == 4
    uhga = [cell for cell in cells if cell.method == "uhga"]
    assert [cell.settings[THRESHOLD] for cell in uhga] == [0.1] * 4 + [0.2] * 4
    assert {cell.settings["n_steps"] for cell in uhga} == {5}
    assert cells[:4] == make_cells(["itq"], [16, 32], 2)
    assert uhga[0].hasher().similarity_threshold == 0.1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["itq", "uhga"], [16], 1, {}, Sweep("similarity_treshold", ("1",))), "did you mean 'similarity_threshold'"),
        ((["lsh"], [16], 1, {}, Sweep(THRESHOLD, ("1",))), "lsh has no settings"),
        ((["uhga"], [16], 1, {THRESHOLD: "0"}, Sweep(THRESHOLD, ("1",))), "both set and swept"),
        ((["uhga"], [16], 1, {}, Sweep(THRESHOLD, ("0.1", "low"))), "must be a number, not 'low'"),
    ],
)
def test_sweeps_that_cannot_be_run_are_refused_before_any_work(arguments, message):
    with pytest.raises(GannetError, match=message):
        sweep_cells(*arguments)


def record(method="uhga", bits=16, value=0.5, seed=0, **settings):
    return make_record(method, bits, seed, value, {**defaults(get_hasher(method)), **settings})


SWEPT = [
    record(similarity_threshold=0.9, value=0.1),
    record(similarity_threshold=0.1, value=0.3),
    record(similarity_threshold=0.1, value=0.5, seed=1),
    record(value=0.6),
    record("itq", value=0.2),
]


def test_a_sweep_is_found_in_the_records_in_the_order_of_its_values():
    [swept] = sweeps(SWEPT, "cifar10-uhga")
    assert (swept.title, swept.setting) == ("uhga", THRESHOLD)
    assert list(swept.measured) == [0.1, 0.2, 0.9]
    assert swept.measured[0.1][16].mean == pytest.approx(0.4)
    assert swept.measured[0.1][16].deviation == pytest.approx(0.1414, abs=1e-4)
    assert (
        swept.variants == {variant(r) for r in SWEPT[:4]} == {"uhga", f"uhga {THRESHOLD}=0.1", f"uhga {THRESHOLD}=0.9"}
    )
    assert swept.published[0.0][16] == 0.1015
    assert sweeps(SWEPT[3:], "cifar10-uhga") == []


def test_two_sweeps_with_other_settings_apart_stay_apart():
    others = [replace(r, settings={**r.settings, "dissimilar": -1.0}) for r in SWEPT[:3]]
    titles = [swept.title for swept in sweeps(SWEPT[:3] + others, "digits") if swept.setting == THRESHOLD]
    assert titles == ["uhga", "uhga dissimilar=-1.0"]


def test_the_papers_sweep_stands_beside_under_its_protocols_only():
    [(title, table)] = sweep_tables(SWEPT, "cifar10-uhga")
    assert title == "uhga by similarity_threshold"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert rows[0][:3] == [THRESHOLD, "16 bits", "paper, 16 bits"]
    assert rows[2][:3] == ["0.1", "0.4000 ± 0.1414", "0.1015"]
    assert rows[3][:3] == ["0.2", "0.6000", "0.2940"]
    assert "0.6571" not in table
    assert "paper" not in sweep_tables(SWEPT, "digits")[0][1]
    plain = [replace(r, method="uhga-plain") for r in SWEPT]
    assert "paper" not in sweep_tables(plain, "cifar10-uhga")[0][1]


def test_attention_gain_is_the_difference_of_the_means():
    records = [record(value=0.5), record(value=0.7, seed=1), record("uhga-plain", value=0.55), record(bits=32)]
    [gain] = attention_gains(records, "cifar10-uhga")
    assert (gain.plain, gain.attending) == ("uhga-plain", "uhga")
    assert gain.measured == {16: pytest.approx(0.05)}
    paper = published.published("cifar10-uhga")
    assert gain.published == {bits: paper["uhga"][bits] - paper["uhga-plain"][bits] for bits in (16, 32, 64, 128)}
    assert attention_gains(records, "digits")[0].published == {}
    assert attention_gains(records[:2], "digits") == []


def test_methods_named_after_each_other_are_compared():
    names = ["ssdh", "ssdh+ga", "uhga-graph-plain", "uhga-graph", "uhga-views", "itq"]
    gains = attention_gains([record(name) for name in names], "cifar10-uhga")
    assert [(gain.plain, gain.attending) for gain in gains] == [("ssdh", "ssdh+ga"), ("uhga-graph-plain", "uhga-graph")]
    assert gains[1].published == {}
