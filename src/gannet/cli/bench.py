"""``gannet bench`` and ``gannet protocols``."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from gannet.cli.output import parse_settings, say, say_json, warn, warn_skipped
from gannet.errors import GannetError

if TYPE_CHECKING:
    from gannet.evaluation.benchmark import Cell, Record, Run
    from gannet.evaluation.results import ResultsFolder

_DEFAULT_METHODS, _DEFAULT_BITS = "itq,uhga", "32,64"


@click.command(epilog="Example: gannet bench cifar10-uhga --methods all --bits 16,32,64,128 --seeds 3 -o results")
@click.argument("protocol")
@click.option("--methods", default=_DEFAULT_METHODS, show_default=True, help="Names, or all.")
@click.option("--bits", default=_DEFAULT_BITS, show_default=True, help="Lengths of the codes.")
@click.option("--seeds", default=1, show_default=True, type=int, help="How many seeds, from 0 on.")
@click.option("-o", "--output", default=None, metavar="DIR", help="Keep results here; a second run goes on.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--data", default=None, metavar="PATH", help="Where the data set lies; else it is looked for.")
@click.option("--backbone", default=None, help="A name that `gannet backbones` lists.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the methods; repeatable.")
@click.option(
    "--sweep",
    default=None,
    metavar="KEY=START:STOP:STEP",
    help="Try a setting at each value, the stop too; or KEY=VALUE,VALUE,...",
)
@click.option("--curves", is_flag=True, help="Keep training curves of new results for the page; needs -o.")
def bench(
    protocol: str,
    methods: str,
    bits: str,
    seeds: int,
    output: str | None,
    as_json: bool,
    data: str | None,
    backbone: str | None,
    settings: Sequence[str],
    sweep: str | None,
    curves: bool,
) -> None:
    """Compare methods under PROTOCOL: a name that `gannet protocols` lists, or your own labelled images.

    Your own images are class folders (CLASS/x.jpg, or train/CLASS/x.jpg and test/CLASS/x.jpg) or a .zip of them, a
    folder with the lists database.txt, test.txt and train.txt, or one list. The labels judge; no method sees them.
    """
    from gannet.evaluation.benchmark import Run, make_cells
    from gannet.evaluation.items import find_protocol, split_features
    from gannet.evaluation.results import ResultsFolder, sweep_tables, text_table
    from gannet.evaluation.sweep import read_sweep, sweep_cells
    from gannet.feature_reader import FeatureReader

    if curves and output is None:
        raise GannetError("--curves draws on the page of the results: name a folder for them with -o")
    wanted = _names(methods), _numbers(bits), seeds, parse_settings(settings)
    cells = make_cells(*wanted) if sweep is None else sweep_cells(*wanted, read_sweep(sweep))
    reader = FeatureReader(backbone)
    chosen, items = find_protocol(protocol, data)
    with nullcontext() if output is None else ResultsFolder(output, chosen.name) as folder:
        features, skipped = split_features(chosen, items, reader)
        warn_skipped(skipped)
        run = Run(chosen, features, reader.extractor.name, curves)
        if not as_json:
            split = features.split
            sizes = f"{len(split.query):,} queries, {len(split.database):,} items, {len(split.train):,} to learn from"
            say(f"{chosen.name}, split {split.digest}: {sizes}; features of {run.backbone}")
        records = _run(cells, run, folder, quiet=as_json)
        if as_json:
            say_json(records)
        elif records:
            say("\n" + text_table(records))
            for title, table in sweep_tables(records, chosen.name):
                say(f"\n{title}\n{table}")
        if folder is not None and run.own(folder.records):
            command = _command(protocol, methods, bits, seeds, output, data, backbone, settings, sweep, curves)
            written = _write(folder, run, command)
            if not as_json:
                say(f"\nwrote {' and '.join(written)}")
    if len(records) < len(cells):
        raise GannetError(f"{len(cells) - len(records)} of {len(cells)} cells have no result; the lines above say why")


@click.command(epilog="Example: gannet protocols --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def protocols(as_json: bool) -> None:
    """List the protocols that `gannet bench` knows: data set, split, cutoff and source."""
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
    """Run the cells that ``folder`` has no record of, keep each there as it ends, and return the records of all."""
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


def _write(folder: ResultsFolder, run: Run, command: str) -> list[str]:
    """Write the tables and the page of all that the folder holds of this run; return their paths."""
    from gannet.evaluation.results import report
    from gannet.pages.bench_report import bench_page

    table = folder.write_table(report(run, folder.records, command))
    page = folder.write_page(bench_page(run.protocol, run.own(folder.records), command, run.features))
    return [str(table), str(page)]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise GannetError(f"--bits takes whole numbers with commas between them, such as 16,32; not {text!r}") from None


def _line(record: Record) -> str:
    at = "ALL" if record["map_at"] is None else record["map_at"]
    return (
        f"{record['method']:<12} {record['bits']:>4} bits  seed {record['seed']}  MAP@{at} {record['map']:.4f}  "
        f"fitted in {record['fit_seconds']:.1f} s"
    )


def _command(
    protocol: str,
    methods: str,
    bits: str,
    seeds: int,
    output: str | None,
    data: str | None,
    backbone: str | None,
    settings: Sequence[str],
    sweep: str | None,
    curves: bool,
) -> str:
    words = ["gannet", "bench", protocol, "--methods", methods, "--bits", bits, "--seeds", str(seeds)]
    options = ("--data", data), ("--backbone", backbone), ("--sweep", sweep), *(("--set", text) for text in settings)
    for option, value in options:
        words += [option, value] if value is not None else []
    return shlex.join([*words, *(["--curves"] if curves else []), "-o", str(output)])
