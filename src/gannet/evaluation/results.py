"""A folder of benchmark results: one line of JSON a finished cell, and the table of all of them."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gannet.errors import GannetError
from gannet.evaluation import published
from gannet.evaluation.benchmark import Record, Run
from gannet.hashers import all_hashers
from gannet.hashers.settings import defaults

_LINES, _TABLE = "results.jsonl", "table.md"
_NEEDED = frozenset(
    {"protocol", "split", "backbone", "method", "bits", "seed", "settings", "map", "fit_seconds", "float_map"}
)
_BASELINE = "itq"


class ResultsFolder:
    """Records of finished cells in ``results.jsonl``; a run that was killed goes on where it was.

    Raises: `GannetError` where the folder holds something else, or records of another protocol.
    """

    def __init__(self, path: str | os.PathLike[str], protocol: str) -> None:
        self.path = Path(path)
        self._lines = self.path / _LINES
        if self.path.exists() and not self.path.is_dir():
            raise GannetError(f"{path} is a file: name a folder for the results")
        if self.path.is_dir() and not self._lines.exists() and any(self.path.iterdir()):
            raise GannetError(f"{path} holds other files: name a new or empty folder, or one with {_LINES}")
        self.path.mkdir(parents=True, exist_ok=True)
        self.records = self._read()
        others = {record["protocol"] for record in self.records} - {protocol}
        if others:
            raise GannetError(f"{path} holds results of {min(others)}: name another folder for {protocol}")

    def add(self, record: Record) -> None:
        """Append a record; it is on disk when this returns."""
        with self._lines.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.records.append(record)

    def write_table(self, text: str) -> Path:
        """Write ``table.md`` in one step and return its path."""
        target = self.path / _TABLE
        partial = target.with_suffix(".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(target)
        return target

    def _read(self) -> list[Record]:
        if not self._lines.exists():
            return []
        data = self._lines.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # a run was killed as it wrote its last line
            with self._lines.open("r+b") as file:
                file.truncate(len(whole))
        return [self._record(line, number) for number, line in enumerate(whole.splitlines(), 1) if line.strip()]

    def _record(self, line: bytes, number: int) -> Record:
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if not isinstance(record, dict) or not record.keys() >= _NEEDED:
            raise GannetError(f"{self._lines}, line {number}: not a result; take the line out, or name another folder")
        return record


def text_table(records: Sequence[Record]) -> str:
    """Return mean ± standard deviation of MAP over seeds, a row a method and a column a length, in Markdown.

    Behind ``×`` stands the ratio to ITQ at that length, where ITQ was run.
    """
    groups = _grouped(records)
    baseline = {bits: _mean(records, "map") for (name, bits), records in groups.items() if name == _BASELINE}

    def cell(name: str, bits: int, records: Sequence[Record]) -> str:
        text = _mean_and_deviation(records, "map", ".4f")
        return text if bits not in baseline else f"{text} ×{_mean(records, 'map') / baseline[bits]:.2f}"

    rows = _rows(groups, cell)
    columns = _columns(groups)
    rows.append(["float cosine", *[f"{records[0]['float_map']:.4f}" for _ in columns]])
    return _markdown(["method", *[f"{bits} bits" for bits in columns]], rows)


def report(run: Run, records: Sequence[Record], command: str) -> str:
    """Return the Markdown page of a run: what was measured and how, and the paper's figures beside it."""
    mine = [record for record in records if run.identity().items() <= record.items()]
    protocol, features = run.protocol, run.features
    at = "ALL" if protocol.map_at is None else f"{protocol.map_at:,}"
    groups = _grouped(mine)
    heads = ["method", *[f"{bits} bits" for bits in _columns(groups)]]
    seconds = _markdown(heads, _rows(groups, lambda name, bits, of: _mean_and_deviation(of, "fit_seconds", ".1f")))
    parts = [
        f"# {protocol.name}",
        f"{protocol.reading}\nSource: {protocol.citation}.",
        f"- command: `{command}`\n"
        f"- split: `{features.split.digest}` (seed {protocol.seed}): {len(features.query):,} queries, "
        f"{len(features.database):,} in the database, {len(features.train):,} for training, without labels\n"
        f"- features: {run.backbone}\n"
        f"- MAP@{at}, expected over the orders of ties; mean ± standard deviation over the methods' seeds; "
        "× the ratio to ITQ",
        "## Measured",
        text_table(mine),
        "## Seconds to fit",
        seconds,
    ]
    printed = published.published(protocol.name)
    if printed:
        bits = published.tables()["bits"]
        rows = [[name, *[f"{values[b]:.4f}" if b in values else "-" for b in bits]] for name, values in printed.items()]
        parts += [
            f"## As the paper has it, on features of {published.BACKBONE}",
            _markdown(["method", *[f"{b} bits" for b in bits]], rows),
            f"{published.SOURCE}. Other features: compare the order of the methods, not the values.",
        ]
    return "\n\n".join(parts) + "\n"


def variant(record: Record) -> str:
    """Return the method's name and those of its settings that are not at their default."""
    hasher = all_hashers().get(record["method"])
    known = defaults(hasher) if hasher else {}
    changed = [f"{key}={value}" for key, value in record["settings"].items() if known.get(key, value) != value]
    return " ".join([record["method"], *changed])


Groups = Mapping[tuple[str, int], list[Record]]


def _grouped(records: Sequence[Record]) -> Groups:
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((variant(record), record["bits"]), []).append(record)
    return groups


def _columns(groups: Groups) -> list[int]:
    return sorted({bits for _, bits in groups})


def _rows(groups: Groups, cell: Callable[[str, int, Sequence[Record]], str]) -> list[list[str]]:
    names = dict.fromkeys(name for name, _ in groups)
    return [
        [name, *[cell(name, bits, groups[name, bits]) if (name, bits) in groups else "-" for bits in _columns(groups)]]
        for name in names
    ]


def _mean(records: Sequence[Record], key: str) -> float:
    return statistics.fmean(record[key] for record in records)


def _mean_and_deviation(records: Sequence[Record], key: str, form: str) -> str:
    text = format(_mean(records, key), form)
    if len(records) == 1:
        return text
    return f"{text} ± {format(statistics.stdev(record[key] for record in records), form)}"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    lines = [heads, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in lines
    )
