"""The charts of a benchmark's page, from its records."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from gannet.evaluation.benchmark import Record
from gannet.evaluation.summary import Figure, Groups, SweptMethod, lengths
from gannet.pages.charts import Chart, Series, line_chart

_QUARTERS = [(0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1")]

#: What is observed of a training step, and how its chart is called.
_OBSERVED = {
    "map": "MAP",
    "loss": "Loss",
    "flipped": "Bits that flip in a step, %",
    "undone": "Differing bits flipped on both sides, %",
}
# Longer names stand in a key below the chart, not beside its curves.
_LONGEST_NAME = 20


def map_chart(shown: Sequence[str], groups: Groups, float_map: float, at: str) -> Chart:
    """Return MAP against the number of bits, on a scale of doublings, with the float features' as a line."""
    columns = lengths(groups)
    series = []
    for style, name in enumerate(shown):
        here = [bits for bits in columns if (name, bits) in groups]
        figures = [Figure.of(groups[name, bits]) for bits in here]
        points = [(math.log2(bits), figure.mean) for bits, figure in zip(here, figures, strict=True)]
        series.append(Series(name, points, style, spread=[figure.deviation or 0.0 for figure in figures]))
    if len(columns) > 1:
        ends = [(math.log2(bits), float_map) for bits in (columns[0], columns[-1])]
        series.append(Series("float cosine", ends, None, dashed=True, marked=False))
    return line_chart(
        series,
        "MAP against the number of bits; the table above has the same figures",
        "bits",
        f"MAP@{at}",
        [(math.log2(bits), str(bits)) for bits in columns],
        named=max(map(len, shown)) <= _LONGEST_NAME,
    )


def precision_recall_chart(shown: Sequence[str], groups: Groups, bits: int) -> Chart:
    """Return precision against recall by radius, the mean over seeds; radii at which nothing is found are left out."""
    series = []
    for style, name in enumerate(shown):
        if (name, bits) not in groups:
            continue
        recall, precision = (_mean_curve(groups[name, bits], key) for key in ("radius_recall", "radius_precision"))
        points = [(r, p) for r, p in zip(recall, precision, strict=True) if r > 0]
        series.append(Series(name, points or [(0.0, 0.0)], style, marked=False))
    return line_chart(series, f"Precision against recall at {bits} bits", "recall", "precision", _QUARTERS, named=False)


def training_charts(shown: Sequence[str], groups: Groups) -> list[tuple[int, list[tuple[str, Chart]]]]:
    """Return bits and charts by title, where records hold training curves."""
    observed = {key: [r["training"] for r in of if "training" in r] for key, of in groups.items()}
    return [
        (
            bits,
            [
                (title, _training_chart(shown, observed, bits, key, title))
                for key, title in _OBSERVED.items()
                if any(key in step for name in shown for run in observed.get((name, bits), []) for step in run)
            ],
        )
        for bits in lengths(groups)
        if any(observed.get((name, bits)) for name in shown)
    ]


def _training_chart(
    shown: Sequence[str], observed: Mapping[tuple[str, int], Sequence[Any]], bits: int, key: str, title: str
) -> Chart:
    series = []
    for style, name in enumerate(shown):
        runs = observed.get((name, bits))
        if runs:
            unit = 1.0 if key in ("loss", "map") else 100.0
            seen = [steps for steps in zip(*runs, strict=False) if all(key in step for step in steps)]
            points = [(float(of[0]["step"]), unit * statistics.fmean(step[key] for step in of)) for of in seen]
            if points:
                series.append(Series(name, points, style, marked=key == "map"))
    last = max(x for each in series for x, _ in each.points)
    ticks = [(last * part, f"{last * part:,.0f}") for part in (0.25, 0.5, 0.75, 1.0)]
    return line_chart(series, f"{title}, against steps, at {bits} bits", "step", "", ticks, named=False)


def _mean_curve(records: Sequence[Record], key: str) -> list[float]:
    return [statistics.fmean(values) for values in zip(*(record[key] for record in records), strict=True)]


def compared_sweeps(swept: Sequence[SweptMethod], at: str) -> list[tuple[str, list[tuple[int, Chart]]]]:
    """Return settings that several methods were swept over, each with charts of the methods by bits."""
    by_setting: dict[str, list[SweptMethod]] = {}
    for each in filter(_has_numbers, swept):
        by_setting.setdefault(each.setting, []).append(each)
    return [
        (
            setting,
            [
                (bits, _compared_chart(together, bits, at))
                for bits in sorted({bits for each in together for bits in each.bits})
            ],
        )
        for setting, together in by_setting.items()
        if len(together) > 1
    ]


def _compared_chart(together: Sequence[SweptMethod], bits: int, at: str) -> Chart:
    setting = together[0].setting
    series = [_swept_series(each.title, each, bits, style) for style, each in enumerate(together) if bits in each.bits]
    label = f"MAP against {setting} at {bits} bits; the tables below have the same figures"
    return line_chart(series, label, setting, f"MAP@{at}", _value_ticks(series), named=False)


def sweep_chart(swept: SweptMethod, at: str) -> Chart | None:
    """Return MAP against the values, where they are numbers, with the paper's dashed."""
    if not _has_numbers(swept):
        return None
    series = []
    for style, bits in enumerate(swept.bits):
        series.append(_swept_series(f"{bits} bits", swept, bits, style))
        paper = [(value, of[bits]) for value, of in swept.published.items() if bits in of]
        if paper:
            series.append(Series(f"{bits} bits, paper", paper, style, dashed=True, marked=False))
    label = f"MAP against {swept.setting}; the tables have the same figures"
    return line_chart(series, label, swept.setting, f"MAP@{at}", _value_ticks(series))


def _has_numbers(swept: SweptMethod) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in swept.measured)


def _swept_series(name: str, swept: SweptMethod, bits: int, style: int) -> Series:
    here = [(float(value), of[bits]) for value, of in swept.measured.items() if bits in of]
    points = [(value, figure.mean) for value, figure in here]
    return Series(name, points, style, spread=[figure.deviation or 0.0 for _, figure in here])


def _value_ticks(series: Sequence[Series]) -> list[tuple[float, str]]:
    """Return up to a dozen of the values that occur."""
    places = sorted({x for each in series for x, _ in each.points})
    return [(x, f"{x:g}") for x in places[:: math.ceil(len(places) / 12)]]
