"""The charts on the page of a benchmark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from gannet.evaluation.record import TrainingPoint
from gannet.evaluation.summary import Figure, Groups, SweptMethod, lengths
from gannet.pages.charts import Chart, Series, line_chart

_QUARTERS = [(0.0, "0"), (0.25, "0.25"), (0.5, "0.5"), (0.75, "0.75"), (1.0, "1")]

# The fields of a training point that have a chart, with its title.
_TRAINING = {
    "map": "MAP",
    "loss": "Loss",
    "flipped": "Bits that flip in a step, %",
    "undone": "Differing bits flipped on both sides, %",
}
# Charts with longer names have a legend below instead of labels next to the curves.
_LONGEST_NAME = 20


def map_chart(shown: Sequence[str], groups: Groups, float_map: float, at: str, by_score: bool = False) -> Chart | None:
    """Return the chart of MAP against code length, on a logarithmic scale, with MAP of the float features as a line.

    MAP is by Hamming distance or ``by_score``; None if it was not measured.
    """
    columns = lengths(groups)
    figure_of = Figure.of_map_asymmetric if by_score else Figure.of_map
    series = []
    for style, name in enumerate(shown):
        measured = [(bits, figure_of(groups[name, bits])) for bits in columns if (name, bits) in groups]
        figures = [(bits, figure) for bits, figure in measured if figure is not None]
        if figures:
            points = [(math.log2(bits), figure.mean) for bits, figure in figures]
            series.append(Series(name, points, style, spread=[figure.deviation or 0.0 for _, figure in figures]))
    if not series:
        return None
    if len(columns) > 1:
        ends = [(math.log2(bits), float_map) for bits in (columns[0], columns[-1])]
        series.append(Series("float cosine", ends, None, dashed=True, marked=False))
    return line_chart(
        series,
        f"MAP {'by score ' if by_score else ''}against the number of bits; the table above has the same figures",
        "bits",
        f"MAP@{at}",
        [(math.log2(bits), str(bits)) for bits in columns],
        named=max(map(len, shown)) <= _LONGEST_NAME,
    )


def precision_recall_chart(shown: Sequence[str], groups: Groups, bits: int) -> Chart:
    """Return the chart of precision against recall by radius, averaged over seeds, without radii that find nothing."""
    series = []
    for style, name in enumerate(shown):
        if (name, bits) not in groups:
            continue
        recall = _mean_curve([record.radius_recall for record in groups[name, bits]])
        precision = _mean_curve([record.radius_precision for record in groups[name, bits]])
        points = [(r, p) for r, p in zip(recall, precision, strict=True) if r > 0]
        series.append(Series(name, points or [(0.0, 0.0)], style, marked=False))
    return line_chart(series, f"Precision against recall at {bits} bits", "recall", "precision", _QUARTERS, named=False)


def training_charts(shown: Sequence[str], groups: Groups) -> list[tuple[int, list[tuple[str, Chart]]]]:
    """Return the code lengths with training curves, each with its charts by title."""
    charts = []
    for bits in lengths(groups):
        runs = {name: [record.training for record in groups.get((name, bits), ()) if record.training] for name in shown}
        of_bits = [
            (title, _training_chart(runs, bits, key, title))
            for key, title in _TRAINING.items()
            if any(getattr(point, key) is not None for seeds in runs.values() for points in seeds for point in points)
        ]
        if of_bits:
            charts.append((bits, of_bits))
    return charts


def _training_chart(runs: Mapping[str, Sequence[Sequence[TrainingPoint]]], bits: int, key: str, title: str) -> Chart:
    """Return the chart of one field of the training points, averaged over seeds, for methods by name."""
    unit = 1.0 if key in ("loss", "map") else 100.0
    series = []
    for style, (name, seeds) in enumerate(runs.items()):
        steps = [(points[0].step, [getattr(point, key) for point in points]) for points in zip(*seeds, strict=False)]
        mean = [(float(step), unit * statistics.fmean(values)) for step, values in steps if None not in values]
        if mean:
            series.append(Series(name, mean, style, marked=key == "map"))
    last = max(x for each in series for x, _ in each.points)
    ticks = [(last * part, f"{last * part:,.0f}") for part in (0.25, 0.5, 0.75, 1.0)]
    return line_chart(series, f"{title}, against steps, at {bits} bits", "step", "", ticks, named=False)


def _mean_curve(curves: Sequence[Sequence[float]]) -> list[float]:
    return [statistics.fmean(values) for values in zip(*curves, strict=True)]


def compared_sweeps(swept: Sequence[SweptMethod], at: str) -> list[tuple[str, list[tuple[int, Chart]]]]:
    """Return the settings of which several methods have a sweep, each with code lengths and charts of the methods."""
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
    """Return the chart of MAP against the values, with the paper's dashed; None if the values are not numbers."""
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
    """Return ticks at up to twelve of the values."""
    places = sorted({x for each in series for x, _ in each.points})
    return [(x, f"{x:g}") for x in places[:: math.ceil(len(places) / 12)]]
