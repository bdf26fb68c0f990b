"""The page of a benchmark: its tables and charts, with the figures of the paper."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gannet.evaluation import published
from gannet.evaluation.protocols import Protocol
from gannet.evaluation.record import Record
from gannet.evaluation.split_data import SplitData
from gannet.evaluation.summary import (
    BASELINE,
    Figure,
    Groups,
    SweptMethod,
    attention_gains,
    baseline,
    grouped,
    lengths,
    sweeps,
    variant,
    variants,
)
from gannet.pages.bench_charts import (
    compared_sweeps,
    map_chart,
    precision_recall_chart,
    sweep_chart,
    training_charts,
)
from gannet.pages.bench_examples import retrievals
from gannet.pages.charts import Chart
from gannet.pages.rendering import render


@dataclass(frozen=True)
class _Cell:
    value: str
    note: str = ""
    best: bool = False


@dataclass(frozen=True)
class _Table:
    """A table with named rows; a cell that was not measured is None."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[_Cell | None]]]
    last_apart: bool = False


@dataclass(frozen=True)
class _Sweep:
    title: str
    tables: Sequence[_Table]
    chart: Chart | None


def bench_page(protocol: Protocol, records: Sequence[Record], command: str, data: SplitData | None = None) -> str:
    """Return the HTML page of a benchmark, which loads no other files.

    The ``records`` (at least one) have this protocol, the same split and the same backbone; ``command`` is the command
    line that made them. With ``data``, the page shows pictures of example retrievals.
    """
    swept = sweeps(records, protocol.name)
    every = grouped(records)
    shown = _beside_sweeps(every, swept)
    groups = {key: of for key, of in every.items() if key[0] in shown}
    at = "ALL" if protocol.map_at is None else f"{protocol.map_at:,}"
    first = records[0]
    example_bits, examples = (0, []) if data is None else retrievals(shown, groups, data)
    return render(
        "bench.html",
        tiny=False,
        protocol=protocol,
        command=command,
        run=first,
        at=at,
        n_seeds=len({record.seed for record in records}),
        measured=_measured(groups, f"Measured MAP@{at}, features of {first.backbone}", first.float_map),
        by_score=_by_score(groups, f"Measured MAP@{at} of ranking by asymmetric score"),
        printed=_printed(protocol.name, at),
        source=published.SOURCE,
        paper_backbone=published.BACKBONE,
        gains=_gains(records, protocol.name, first.backbone),
        map_chart=map_chart(shown, groups, first.float_map, at),
        score_chart=map_chart(shown, groups, first.float_map, at, by_score=True),
        curves=[(bits, precision_recall_chart(shown, groups, bits)) for bits in lengths(groups)],
        compared=compared_sweeps(swept, at),
        sweeps=[_sweep(each, at, first.backbone) for each in swept],
        training=training_charts(shown, groups),
        speed=_speed(groups),
        example_bits=example_bits,
        examples=examples,
        codes=_codes(groups),
        settings={name: of[0].settings for (name, _), of in every.items()},
    )


def _beside_sweeps(groups: Groups, swept: Sequence[SweptMethod]) -> list[str]:
    """Return the variants for the charts and tables of methods, without the values of sweeps, which have their own."""
    hidden = set().union(*(each.variants for each in swept))
    every = variants(groups)
    methods = {records[0].method for records in groups.values()}
    return [name for name in every if name not in hidden or name in methods] or every


def _table(caption: str, groups: Groups, cell: Callable[[Sequence[Record]], _Cell]) -> _Table:
    columns = lengths(groups)
    rows = [
        (name, [cell(groups[name, bits]) if (name, bits) in groups else None for bits in columns])
        for name in variants(groups)
    ]
    return _Table(caption, _bits(columns), rows)


def _bits(columns: Sequence[int]) -> list[str]:
    return [f"{bits} {'bit' if bits == 1 else 'bits'}" for bits in columns]


def _measured(groups: Groups, caption: str, float_map: float) -> _Table:
    of_baseline = baseline(groups)
    best = {
        bits: max(Figure.of_map(records).mean for (_, b), records in groups.items() if b == bits)
        for bits in lengths(groups)
    }

    def cell(records: Sequence[Record]) -> _Cell:
        bits, figure = records[0].bits, Figure.of_map(records)
        spread = [] if figure.deviation is None else [f"± {figure.deviation:.4f}"]
        notes = [*spread, *_ratio(figure.mean, of_baseline.get(bits))]
        return _Cell(f"{figure.mean:.4f}", " ".join(notes), figure.mean == best[bits])

    table = _table(caption, groups, cell)
    ceiling = [
        _Cell(f"{float_map:.4f}", " ".join(_ratio(float_map, of_baseline.get(bits)))) for bits in lengths(groups)
    ]
    return _Table(table.caption, table.heads, [*table.rows, ("float cosine", ceiling)], last_apart=True)


def _by_score(groups: Groups, caption: str) -> _Table | None:
    """Return the table of MAP by asymmetric score, with the gain over MAP by distance; None if it was not measured."""
    figures = {key: figure for key, of in groups.items() if (figure := Figure.of_map_asymmetric(of)) is not None}
    if not figures:
        return None
    best = {bits: max(figure.mean for (_, b), figure in figures.items() if b == bits) for _, bits in figures}

    def cell(records: Sequence[Record]) -> _Cell:
        bits, figure = records[0].bits, figures[variant(records[0]), records[0].bits]
        spread = [] if figure.deviation is None else [f"± {figure.deviation:.4f}"]
        gain = f"{figure.mean - Figure.of_map(records).mean:+.4f}".replace("-", "−")
        return _Cell(f"{figure.mean:.4f}", " ".join([*spread, gain]), figure.mean == best[bits])

    return _table(caption, {key: groups[key] for key in figures}, cell)


def _ratio(value: float, of_baseline: float | None) -> list[str]:
    return [f"×{value / of_baseline:.2f}"] if of_baseline else []


def _printed(protocol: str, at: str) -> _Table | None:
    rows = published.published(protocol)
    if not rows:
        return None
    columns = list(rows[BASELINE])
    best = {bits: max(row.get(bits, 0.0) for row in rows.values()) for bits in columns}

    def cell(row: Mapping[int, float], bits: int) -> _Cell | None:
        if bits not in row:
            return None
        return _Cell(f"{row[bits]:.4f}", " ".join(_ratio(row[bits], rows[BASELINE].get(bits))), row[bits] == best[bits])

    return _Table(
        f"The paper's MAP@{at}, features of {published.BACKBONE}",
        _bits(columns),
        [(name, [cell(row, bits) for bits in columns]) for name, row in rows.items()],
    )


def _gains(records: Sequence[Record], protocol: str, backbone: str) -> _Table | None:
    gains = attention_gains(records, protocol)
    columns = sorted({bits for gain in gains for bits in (*gain.measured, *gain.published)})

    def row(gain: Mapping[int, float]) -> list[_Cell | None]:
        return [_Cell(f"{gain[bits]:+.4f}".replace("-", "−")) if bits in gain else None for bits in columns]

    rows = []
    for gain in gains:
        rows.append((f"{gain.attending} over {gain.plain}, {backbone}", row(gain.measured)))
        if gain.published:
            rows.append((f"{gain.attending} over {gain.plain}, the paper, {published.BACKBONE}", row(gain.published)))
    return _Table("MAP with gradient attention minus MAP without", _bits(columns), rows) if rows else None


def _sweep(swept: SweptMethod, at: str, backbone: str) -> _Sweep:
    columns = swept.bits
    rows = [
        (str(value), [_swept_cell(of[bits]) if bits in of else None for bits in columns])
        for value, of in swept.measured.items()
    ]
    tables = [_Table(f"Measured MAP@{at}, features of {backbone}", _bits(columns), rows)]
    if swept.published:
        paper_columns = sorted({bits for of in swept.published.values() for bits in of})
        tables.append(
            _Table(
                f"The paper's MAP@{at}, features of {published.BACKBONE}",
                _bits(paper_columns),
                [
                    (str(value), [_Cell(f"{of[bits]:.4f}") if bits in of else None for bits in paper_columns])
                    for value, of in swept.published.items()
                ],
            )
        )
    return _Sweep(f"{swept.title} by {swept.setting}", tables, sweep_chart(swept, at))


def _swept_cell(figure: Figure) -> _Cell:
    return _Cell(f"{figure.mean:.4f}", "" if figure.deviation is None else f"± {figure.deviation:.4f}")


def _speed(groups: Groups) -> list[_Table]:
    def fit(records: Sequence[Record]) -> _Cell:
        figure = Figure.of([record.fit_seconds for record in records])
        return _Cell(f"{figure.mean:.2f}", "" if figure.deviation is None else f"± {figure.deviation:.2f}")

    def encode(records: Sequence[Record]) -> _Cell:
        items = records[0].n_queries + records[0].n_database
        return _Cell(f"{1e6 * statistics.fmean(record.encode_seconds for record in records) / items:.2f}")

    return [
        _table("Seconds to fit", groups, fit),
        _table("Microseconds to encode the features of one item", groups, encode),
    ]


def _codes(groups: Groups) -> list[_Table]:
    def balance(records: Sequence[Record]) -> _Cell:
        ranges = [record.bits_on for record in records if record.bits_on]
        low, high = min((r[0] for r in ranges), default=0.0), max((r[1] for r in ranges), default=0.0)
        note = f"on in {100 * low:.0f} to {100 * high:.0f}%" if ranges else ""
        return _Cell(f"{statistics.fmean(record.bit_entropy for record in records):.3f}", note)

    def distinct(records: Sequence[Record]) -> _Cell:
        mean, total = statistics.fmean(record.distinct_codes for record in records), records[0].n_database
        return _Cell(f"{100 * mean / total:.1f}%", f"{total - mean:,.0f} repeat")

    def ties(records: Sequence[Record]) -> _Cell:
        worst = statistics.fmean(record.map_worst for record in records)
        best = statistics.fmean(record.map_best for record in records)
        return _Cell(f"{best - worst:.4f}", f"{worst:.3f} to {best:.3f}")

    def lookup(records: Sequence[Record]) -> _Cell:
        return _Cell(f"{statistics.fmean(record.precision_radius_2 for record in records):.4f}")

    return [
        _table("Mean entropy per bit; 1 if every bit is on in half of the database", groups, balance),
        _table("Distinct codes in the database", groups, distinct),
        _table("Range of MAP over the orders of ties", groups, ties),
        _table("Precision within distance 2; a query that finds nothing counts as 0", groups, lookup),
    ]
