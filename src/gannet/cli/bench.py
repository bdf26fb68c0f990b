"""``gannet bench`` and ``gannet protocols``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from gannet.cli.output import parse_settings, say, say_json, warn, warn_skipped
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.evaluation.benchmark import Cell, Run
    from gannet.evaluation.record import Record
    from gannet.evaluation.results import ResultsFolder

_DEFAULT_METHODS, _DEFAULT_BITS = "itq,uhga", "32,64"


@dataclass(frozen=True)
class _Options:
    """The argument and the options of ``gannet bench``, as given."""

    protocol: str
    methods: str
    bits: str
    seeds: int
    output: str | None
    as_json: bool
    data: str | None
    backbone: str | None
    settings: Sequence[str]
    sweep: str | None
    curves: bool

    def cells(self) -> list[Cell]:
        """Return the cells to run, checked."""
        from gannet.evaluation.benchmark import make_cells
        from gannet.evaluation.sweep import read_sweep, sweep_cells

        wanted = _names(self.methods), _numbers(self.bits), self.seeds, parse_settings(self.settings)
        return make_cells(*wanted) if self.sweep is None else sweep_cells(*wanted, read_sweep(self.sweep))

    def command(self) -> str:
        """Return the command line that repeats the run."""
        words = ["gannet", "bench", self.protocol, "--methods", self.methods, "--bits", self.bits]
        words += ["--seeds", str(self.seeds)]
        options = ("--data", self.data), ("--backbone", self.backbone), ("--sweep", self.sweep)
        for option, value in (*options, *(("--set", text) for text in self.settings)):
            words += [option, value] if value is not None else []
        return shlex.join([*words, *(["--curves"] if self.curves else []), "-o", str(self.output)])


@click.command(epilog="Example: gannet bench cifar10-uhga --methods all --bits 16,32,64,128 --seeds 3 -o results")
@click.argument("protocol")
@click.option("--methods", default=_DEFAULT_METHODS, show_default=True, help="Names of methods, or all.")
@click.option("--bits", default=_DEFAULT_BITS, show_default=True, help="Lengths of the codes.")
@click.option("--seeds", default=1, show_default=True, type=int, help="Number of seeds: 0, 1, ...")
@click.option("-o", "--output", default=None, metavar="DIR", help="Folder for results; an interrupted run continues.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data", default=None, metavar="PATH", help="Path of the data set; by default, it is searched for.")
@click.option("--backbone", default=None, help="A name that `gannet backbones` lists.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the methods; repeatable.")
@click.option(
    "--sweep",
    default=None,
    metavar="KEY=START:STOP:STEP",
    help="Run a setting at several values, STOP included; or KEY=VALUE,VALUE,...",
)
@click.option("--curves", is_flag=True, help="Record training curves for the page; needs -o.")
def bench(**given: Any) -> None:
    """Compare methods under PROTOCOL.

    PROTOCOL is a name that `gannet protocols` lists, or the path of your own labeled images: class folders
    (CLASS/x.jpg, or train/CLASS/x.jpg and test/CLASS/x.jpg) or a .zip of them, a folder with the lists database.txt,
    test.txt and train.txt, or one list. Labels are used only for scoring.
    """
    from gannet.evaluation.benchmark import Run
    from gannet.evaluation.items import find_protocol
    from gannet.evaluation.results import ResultsFolder
    from gannet.evaluation.split_data import read_split
    from gannet.feature_reader import FeatureReader

    options = _Options(**given)
    if options.curves and options.output is None:
        raise GannetError("--curves needs a folder for the page with the curves: name one with -o")
    cells = options.cells()
    reader = FeatureReader(options.backbone)
    protocol, items = find_protocol(options.protocol, options.data)
    with nullcontext() if options.output is None else ResultsFolder(options.output, protocol.name) as folder:
        data, skipped = read_split(protocol, items, reader)
        warn_skipped(skipped)
        run = Run(protocol, data, reader.extractor.name, options.curves)
        if not options.as_json:
            split = data.split
            sizes = f"{len(split.query):,} queries, {len(split.database):,} items, {len(split.train):,} to learn from"
            say(f"{protocol.name}, split {split.digest}: {sizes}; features of {run.backbone}")
        records = _run(cells, run, folder, quiet=options.as_json)
        if options.as_json:
            say_json([record.to_json() for record in records])
        elif records:
            _say_tables(records, protocol.name)
        if folder is not None and run.own(folder.records):
            written = _write(folder, run, options.command())
            if not options.as_json:
                say(f"\nwrote {' and '.join(written)}")
    if len(records) < len(cells):
        raise GannetError(f"{len(cells) - len(records)} of {len(cells)} cells have no result; the lines above say why")


@click.command(epilog="Example: gannet protocols --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def protocols(as_json: bool) -> None:
    """List the protocols of `gannet bench`.

    Each protocol is listed with its data set, split, cutoff and source.
    """
    from gannet.evaluation.protocols import all_protocols

    found = all_protocols().values()
    if as_json:
        say_json([vars(protocol) for protocol in found])
        return
    for protocol in found:
        at = "ALL" if protocol.map_at is None else protocol.map_at
        say(f"{protocol.name}: {protocol.dataset}, MAP@{at}, seed {protocol.seed}")
        say(f"    {protocol.reading}\n    {protocol.citation}")


def _run(cells: Sequence[Cell], run: Run, folder: ResultsFolder | None, quiet: bool) -> list[Record]:
    """Run the cells that have no record in ``folder``, add their records to it, and return the records of all cells."""
    from gannet.evaluation.benchmark import run_cells

    records: list[Record] = []
    for cell, outcome in run_cells(cells, run, list(folder.records) if folder else ()):
        if isinstance(outcome, GannetError):
            warn(f"{cell.method} {cell.bits} bits, seed {cell.seed}: {outcome}")
            continue
        records.append(outcome)
        known = folder is not None and outcome in folder.records
        if folder is not None and not known:
            folder.add(outcome)
        if not quiet:
            say(_line(outcome) + (" (as before)" if known else ""))
    return records


def _say_tables(records: Sequence[Record], protocol: str) -> None:
    from gannet.evaluation.results import asymmetric_table, sweep_tables, text_table

    say("\n" + text_table(records))
    if (by_score := asymmetric_table(records)) is not None:
        say(f"\nranked by asymmetric score\n{by_score}")
    for title, table in sweep_tables(records, protocol):
        say(f"\n{title}\n{table}")


def _write(folder: ResultsFolder, run: Run, command: str) -> list[str]:
    """Write the tables and the page of all records of this run in the folder; return their paths."""
    from gannet.evaluation.results import report
    from gannet.pages.bench_report import bench_page

    table = folder.write_table(report(run, folder.records, command))
    page = folder.write_page(bench_page(run.protocol, run.own(folder.records), command, run.data))
    return [str(table), str(page)]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise GannetError(f"--bits takes whole numbers separated by commas, such as 16,32; not {text!r}") from None


def _line(record: Record) -> str:
    at = "ALL" if record.map_at is None else record.map_at
    by_score = "" if record.map_asymmetric is None else f"asymmetric {record.map_asymmetric:.4f}  "
    return (
        f"{record.method:<12} {record.bits:>4} bits  seed {record.seed}  MAP@{at} {record.map:.4f}  "
        f"{by_score}fitted in {record.fit_seconds:.1f} s"
    )
