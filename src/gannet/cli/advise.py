"""``gannet advise``."""

from __future__ import annotations

import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gannet.cli.output import check_page, say, say_json, warn, warn_skipped
from gannet.cli.sources import open_source, reading_options
from gannet.cli.suggested import suggested_command
from gannet.errors import GannetError, unknown_name

if TYPE_CHECKING:
    from gannet.evaluation.advice import Advice, Candidate

_EXAMPLES = """\b
Examples:
  gannet advise embeddings.npy --items 10M --html advice.html
  gannet advise photos --goal kind --labels source
"""
_LEAST_SECONDS = 30.0


@click.command(epilog=_EXAMPLES)
@click.argument("source")
@click.option(
    "--goal",
    metavar="nearest|kind",
    help="What the codes are for: `nearest`, the items that the features call nearest, the default for a matrix; or "
    "`kind`, things of the same kind, the default for images.",
)
@click.option("--items", metavar="N", help="Size of the collection to plan for, such as 10M. Default: that of SOURCE.")
@click.option(
    "--labels",
    metavar="source|FILE",
    help="Measure MAP by class too. `source` takes the class folders, or the labels of an official data set; FILE has "
    "one class per line, or is an .npy file, in the order of the items.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--html", "page", metavar="FILE", help="Write an HTML page with a plot of recall against bytes to FILE.")
@reading_options
def advise(
    source: str,
    goal: str | None,
    items: str | None,
    labels: str | None,
    as_json: bool,
    page: str | None,
    **reading: Any,
) -> None:
    """Measure methods and lengths of codes on a sample of SOURCE, and recommend one.

    SOURCE is what `gannet fit` takes. A random sample of at most 10,500 items is read; nothing is written but the page.
    Beside the methods for the goal and itq stand the signs of the values, the floats, and PQ, OPQ and RaBitQ of faiss,
    if it is installed. The command takes at most about two minutes: what would take longer is named and left out.
    """
    started = time.monotonic()
    from gannet.data import Sample, is_matrix
    from gannet.evaluation.advice import advise as measure
    from gannet.evaluation.advice import read_labels, read_sampled
    from gannet.evaluation.advice.advising import SECONDS
    from gannet.evaluation.advice.sampled import MOST_ITEMS
    from gannet.hashers.goals import GOALS

    if goal is not None and goal not in GOALS:
        raise unknown_name("goal", goal, GOALS)
    n_items = None if items is None else _number(items)
    if page is not None:
        check_page(Path(page))
    # Labels are given for all items, so that all of them are listed; a sample is drawn from them below.
    drawn = None if labels is not None else Sample(MOST_ITEMS, seed=0)
    opened = open_source(source, sample=drawn, **reading)
    sampled = read_sampled(opened, None if labels is None else read_labels(opened, labels))
    warn_skipped(sampled.skipped)
    goal = goal or ("nearest" if is_matrix(source) else "kind")
    seconds = max(_LEAST_SECONDS, SECONDS - (time.monotonic() - started))
    advice = measure(sampled, goal, n_items or opened.total, seconds)
    command = suggested_command(advice.recommendation, source, reading, advice.n_features)
    if page is not None:
        from gannet.pages.advice import advice_page
        from gannet.support.atomic import write_atomically

        write_atomically(Path(page), advice_page(advice, opened.name, command).encode())
    if as_json:
        record = asdict(advice)
        record["recommendation"]["command"] = command
        say_json(record)
        return
    _print(advice, command)
    if page is not None:
        say(f"wrote {page}")


def _print(advice: Advice, command: str) -> None:
    labeled = any(each.map is not None for each in advice.candidates)
    heads = f"{'method':16} bits order      bytes   @1   @10  @100 10@100"
    heads += "    MAP" if labeled else ""
    say(f"{heads}      fit   encode   search {advice.n_items:,}")
    for candidate in advice.candidates:
        say(_line(candidate, labeled))
    say(f"@N: share of {advice.n_queries:,} items held out whose nearest item by cosine, among {advice.n_database:,},")
    say("is among the first N results; 10@100: share of the 10 nearest that are among the first 100.")
    say("The time to search is that of one query, scaled linearly from 200,000 codes or 20,000 rows of floats. It")
    say("includes scoring 1,000 items (asymmetric) and the cosines of 200 kept floats, read from memory (rerank).")
    for text in advice.left_out:
        say(f"not measured: {text}")
    for text in advice.warnings:
        warn(f"warning: {text}")
    say(f"\n{command}\n{advice.recommendation.reason}")


def _line(candidate: Candidate, labeled: bool) -> str:
    shares = candidate.recall_at_1, candidate.recall_at_10, candidate.recall_at_100, candidate.recall_at_10_in_100
    figures = " ".join(f"{share:5.2f}" for share in shares)
    if labeled:
        figures += f" {candidate.map:7.3f}"
    times = (
        _time(candidate.fit_seconds, 1, "s"),
        _time(candidate.encode_seconds, 1e6, "us"),
        _time(candidate.search_seconds, 1e3, "ms"),
    )
    return (
        f"{candidate.method:16} {candidate.bits or '-':>4} {candidate.order:10} {candidate.bytes_per_item:5} {figures} "
        + " ".join(times)
    )


def _time(seconds: float | None, factor: float, unit: str) -> str:
    return f"{'-' if seconds is None else f'{seconds * factor:,.1f} {unit}':>9}"


def _number(text: str) -> int:
    """Return a whole number that may end with k, M or G."""
    match = re.fullmatch(r"([1-9]\d{0,11})([kMG]?)", text)
    if match is None:
        raise GannetError(f"--items must be a whole number from 1, such as 500k or 10M, not {text!r}")
    return int(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]
