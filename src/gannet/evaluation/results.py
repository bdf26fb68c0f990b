"""The folder of benchmark results, and its tables in Markdown."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from gannet.errors import GannetError
from gannet.evaluation import published
from gannet.evaluation.benchmark import Run
from gannet.evaluation.record import Record
from gannet.evaluation.summary import Figure, Groups, SweptMethod, baseline, grouped, lengths, sweeps, variants
from gannet.support.atomic import write_atomically

_LINES, _TABLE, _PAGE, _LOCK = "results.jsonl", "table.md", "report.html", ".lock"


class ResultsFolder:
    """A folder with one record per line in ``results.jsonl``, so that an interrupted run can be continued.

    The folder is made if it does not exist. It is locked for one run at a time: use it as a context manager, or call
    `close`. Raises a `GannetError` if it holds other files or records of another protocol, if a line is not a record,
    or if another run has locked it.
    """

    def __init__(self, path: str | os.PathLike[str], protocol: str) -> None:
        self.path = Path(path)
        self._lines = self.path / _LINES
        if self.path.exists() and not self.path.is_dir():
            raise GannetError(f"{path} is a file: name a folder for the results")
        if self.path.is_dir() and not self._lines.exists() and any(file.name != _LOCK for file in self.path.iterdir()):
            raise GannetError(f"{path} holds other files: name a new or empty folder, or one with {_LINES}")
        self._lock = self._locked()
        try:
            self.records = self._read()
            others = {record.protocol for record in self.records} - {protocol}
            if others:
                raise GannetError(f"{path} holds results of {min(others)}: name another folder for {protocol}")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Unlock the folder."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def add(self, record: Record) -> None:
        """Append a record and flush it to disk."""
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record.to_json()) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.records.append(record)

    def write_table(self, text: str) -> Path:
        """Write ``table.md`` atomically and return its path."""
        return self._write(_TABLE, text)

    def write_page(self, html: str) -> Path:
        """Write ``report.html`` atomically and return its path."""
        return self._write(_PAGE, html)

    def _write(self, name: str, text: str) -> Path:
        target = self.path / name
        write_atomically(target, text.encode())
        return target

    def _locked(self) -> FileLock:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / _LOCK, blocking=False)
            lock.acquire()
        except Timeout:
            raise GannetError(
                f"{self.path} is in use by another run: wait until that has finished, or name another folder"
            ) from None
        except OSError as error:
            raise GannetError(f"cannot write to the folder {self.path}: {error.strerror or error}") from None
        return lock

    def _read(self) -> list[Record]:
        if not self._lines.exists():
            return []
        data = self._lines.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # a run was killed while writing its last line
            with self._lines.open("r+b") as file:
                file.truncate(len(whole))
        return [self._record(line, number) for number, line in enumerate(whole.splitlines(), 1) if line.strip()]

    def _record(self, line: bytes, number: int) -> Record:
        try:
            return Record.from_json(json.loads(line))
        except (ValueError, RecursionError) as error:  # a GannetError is a ValueError, too
            raise GannetError(
                f"{self._lines}, line {number}: not a result ({error}); remove the line, or name another folder"
            ) from None


def text_table(records: Sequence[Record]) -> str:
    """Return a Markdown table of MAP, mean ± standard deviation over seeds, by method (rows) and code length (columns).

    The number after ``×`` is the ratio to ITQ at that length, if ITQ was run.
    """
    groups = grouped(records)
    of_baseline = baseline(groups)

    def cell(bits: int, records: Sequence[Record]) -> str:
        figure = Figure.of_map(records)
        return figure.text() if bits not in of_baseline else f"{figure.text()} ×{figure.mean / of_baseline[bits]:.2f}"

    rows = _rows(groups, cell)
    columns = lengths(groups)
    rows.append(["float cosine", *[f"{records[0].float_map:.4f}" for _ in columns]])
    return _markdown(["method", *[f"{bits} bits" for bits in columns]], rows)


def asymmetric_table(records: Sequence[Record]) -> str | None:
    """Return a Markdown table like `text_table` of MAP by asymmetric score, or None if no record has it."""
    groups = grouped(records)

    def cell(bits: int, records: Sequence[Record]) -> str:
        figure = Figure.of_map_asymmetric(records)
        return "-" if figure is None else figure.text()

    if all(record.map_asymmetric is None for record in records):
        return None
    return _markdown(["method", *[f"{bits} bits" for bits in lengths(groups)]], _rows(groups, cell))


def sweep_tables(records: Sequence[Record], protocol: str) -> list[tuple[str, str]]:
    """Return a title and a Markdown table for each setting that was run at several values, with values as rows.

    If the paper sweeps the same setting, its figures have their own columns.
    """
    return [
        (f"{swept.title} by {swept.setting}", _markdown(*_sweep_rows(swept))) for swept in sweeps(records, protocol)
    ]


def report(run: Run, records: Sequence[Record], command: str) -> str:
    """Return the report of a run in Markdown: how it was measured, its tables, and the figures of the paper."""
    mine = run.own(records)
    protocol, split = run.protocol, run.data.split
    at = "ALL" if protocol.map_at is None else f"{protocol.map_at:,}"
    groups = grouped(mine)
    heads = ["method", *[f"{bits} bits" for bits in lengths(groups)]]
    seconds = _markdown(
        heads, _rows(groups, lambda _, of: Figure.of([record.fit_seconds for record in of]).text(".1f"))
    )
    by_score = asymmetric_table(mine)
    parts = [
        f"# {protocol.name}",
        f"{protocol.reading}\nSource: {protocol.citation}.",
        f"- command: `{command}`\n"
        f"- split: `{split.digest}` (seed {protocol.seed}): {len(split.query):,} queries, "
        f"{len(split.database):,} in the database, {len(split.train):,} for training, without labels\n"
        f"- features: {run.backbone}\n"
        f"- MAP@{at}, expected over the orders of ties; mean ± standard deviation over the methods' seeds; "
        "× the ratio to ITQ",
        "## Measured",
        text_table(mine),
        *([] if by_score is None else ["## Measured, ranked by asymmetric score", by_score]),
        "## Seconds to fit",
        seconds,
    ]
    for title, table in sweep_tables(mine, protocol.name):
        parts += [f"## {title}", table]
    printed = published.published(protocol.name)
    if printed:
        bits = published.tables()["bits"]
        rows = [[name, *[_paper(values, b) for b in bits]] for name, values in printed.items()]
        parts += [
            f"## The figures of the paper, on features of {published.BACKBONE}",
            _markdown(["method", *[f"{b} bits" for b in bits]], rows),
            f"{published.SOURCE}. Other features: compare the order of the methods, not the values.",
        ]
    return "\n\n".join(parts) + "\n"


def _sweep_rows(swept: SweptMethod) -> tuple[list[str], list[list[str]]]:
    columns = swept.bits
    printed = sorted({bits for of in swept.published.values() for bits in of})
    rows = [
        [
            str(value),
            *[of[bits].text() if bits in of else "-" for bits in columns],
            *[_paper(swept.published.get(value, {}), bits) for bits in printed],
        ]
        for value, of in swept.measured.items()
    ]
    return [swept.setting, *[f"{b} bits" for b in columns], *[f"paper, {b} bits" for b in printed]], rows


def _paper(values: Mapping[int, float], bits: int) -> str:
    return f"{values[bits]:.4f}" if bits in values else "-"


def _rows(groups: Groups, cell: Callable[[int, Sequence[Record]], str]) -> list[list[str]]:
    return [
        [name, *[cell(bits, groups[name, bits]) if (name, bits) in groups else "-" for bits in lengths(groups)]]
        for name in variants(groups)
    ]


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
