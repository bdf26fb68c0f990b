"""Line charts: the coordinates and paths that the templates draw, in a drawing of fixed size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 720, 400
_LEFT, _TOP, _BOTTOM = 68, 14, 48
# Space on the right, with the names of the curves and without them.
_NAMES, _NO_NAMES = 168, 20
_LINE_HEIGHT = 17
# The style sheet has one more color, for reference lines.
_N_COLORS = 7
_MARKS = (
    "M{x:.1f} {y:.1f}m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",  # a disc
    "M{x:.1f} {y:.1f}m-3.6-3.6h7.2v7.2h-7.2z",  # a square
    "M{x:.1f} {y:.1f}m0-5.2l5.2 5.2-5.2 5.2-5.2-5.2z",  # a diamond
    "M{x:.1f} {y:.1f}m0-4.8l4.8 8.6h-9.6z",  # a triangle
)

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A named curve through points ``(x, y)``.

    ``style`` is the number of its color and mark, None for a reference line. ``marked`` says whether its points have
    marks. ``spread`` holds half the length of each point's error bar.
    """

    name: str
    points: Sequence[Point]
    style: int | None
    dashed: bool = False
    marked: bool = True
    spread: Sequence[float] = ()


@dataclass(frozen=True)
class Curve:
    """A series in the drawing: its polyline, its marks and error bars as paths, and the position of its name."""

    name: str
    style: int
    dashed: bool
    line: str
    marks: str
    bars: str
    end: Point
    name_y: float


@dataclass(frozen=True)
class Chart:
    """A drawing: its curves, its ticks as ``(coordinate, text)``, and the box between its axes."""

    label: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    right: float
    named: bool
    width: int = field(default=WIDTH, init=False)
    height: int = field(default=HEIGHT, init=False)
    left: int = field(default=_LEFT, init=False)
    top: int = field(default=_TOP, init=False)
    bottom: int = field(default=HEIGHT - _BOTTOM, init=False)


def line_chart(
    series: Sequence[Series],
    label: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[tuple[float, str]],
    named: bool = True,
) -> Chart:
    """Return a chart of one or more series, each with one or more points.

    ``label`` describes the chart to screen readers. ``x_ticks`` are values with their texts. ``named`` says whether the
    names stand beside the curves.
    """
    spreads = [(y - by, y + by) for each in series for (_, y), by in zip(each.points, _spread(each), strict=True)]
    ticks = nice_ticks(min(low for low, _ in spreads), max(high for _, high in spreads))
    xs = [x for each in series for x, _ in each.points] + [value for value, _ in x_ticks]
    right = WIDTH - (_NAMES if named else _NO_NAMES)
    to_x = _scale(min(xs), max(xs), _LEFT + 8, right - 8)
    to_y = _scale(ticks[0], ticks[-1], HEIGHT - _BOTTOM, _TOP)
    names_y = spread_out([to_y(each.points[-1][1]) for each in series], _LINE_HEIGHT, _TOP, HEIGHT - _BOTTOM)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9))
    return Chart(
        label,
        x_label,
        y_label,
        [_curve(each, to_x, to_y, name_y) for each, name_y in zip(series, names_y, strict=True)],
        [(to_x(value), text) for value, text in x_ticks],
        [(to_y(value), f"{value:.{digits}f}") for value in ticks],
        right,
        named,
    )


def nice_ticks(low: float, high: float) -> list[float]:
    """Return three to nine evenly spaced round values that enclose the range."""
    room = max(high - low, 1e-3 * abs(high))
    room = room if room > 1e-9 else 1.0
    size = 10.0 ** math.floor(math.log10(room / 7))
    step = next(size * factor for factor in (1, 2, 5, 10) if room / (size * factor) <= 7)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, max(last, first + 2) + 1)]


def spread_out(positions: Sequence[float], distance: float, low: float, high: float) -> list[float]:
    """Move positions at least ``distance`` apart, in the same order and with the least squared displacement.

    Positions that are too close become a group around its mean, as in isotonic regression. The result lies between
    ``low`` and ``high`` if it fits there.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    groups: list[list[float]] = []
    for rank, i in enumerate(order):
        groups.append([positions[i] - rank * distance])
        while len(groups) > 1 and _mean(groups[-2]) >= _mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    bases = [_mean(group) for group in groups for _ in group]
    last = max(high - distance * (len(positions) - 1), low)
    result = list(positions)
    for rank, (i, base) in enumerate(zip(order, bases, strict=True)):
        result[i] = min(max(base, low), last) + rank * distance
    return result


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _curve(series: Series, to_x: Callable[[float], float], to_y: Callable[[float], float], name_y: float) -> Curve:
    points = [(to_x(x), to_y(y)) for x, y in series.points]
    style = _N_COLORS if series.style is None else series.style % _N_COLORS
    mark = _MARKS[style % len(_MARKS)]
    bars = [
        f"M{to_x(x):.1f} {to_y(y - by):.1f}V{to_y(y + by):.1f}"
        for (x, y), by in zip(series.points, _spread(series), strict=True)
        if by > 0
    ]
    return Curve(
        series.name,
        style,
        series.dashed or style != series.style,
        " ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        "".join(mark.format(x=x, y=y) for x, y in points) if series.marked else "",
        "".join(bars),
        points[-1],
        name_y,
    )


def _spread(series: Series) -> Sequence[float]:
    return series.spread or [0.0] * len(series.points)


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    if low == high:
        return lambda value: (start + stop) / 2
    return lambda value: start + (stop - start) * (value - low) / (high - low)
