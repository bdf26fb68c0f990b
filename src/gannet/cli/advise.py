"""``gannet advise``."""

from __future__ import annotations

import re
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from gannet.cli.output import say, say_json, warn_skipped
from gannet.cli.sources import open_source, reading_options
from gannet.errors import GannetError, unknown_name

if TYPE_CHECKING:
    from gannet.evaluation.advice import Row

_ROWS, _IMAGES = 20_000, 10_000


@click.command(epilog="Example: gannet advise embeddings.npy --items 10M")
@click.argument("source")
@click.option(
    "--goal",
    default="nearest",
    show_default=True,
    metavar="nearest",
    help="What the codes are for. Only the goal nearest can be measured without labels.",
)
@click.option("--items", metavar="N", help="Size of the collection to plan for, such as 10M. Default: that of SOURCE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def advise(source: str, goal: str, items: str | None, as_json: bool, **reading: Any) -> None:
    """Measure methods and lengths of codes on a sample of SOURCE, and recommend one.

    SOURCE is what `gannet fit` takes. A random sample of 20,000 rows, or 10,000 images, is read, and nothing is
    written. The recall is the share of items held out whose nearest item by cosine is among the first results.
    """
    from gannet.data import is_matrix
    from gannet.evaluation.advice import advise as measure
    from gannet.hashers.goals import GOALS
    from gannet.image_hasher import ImageHasher
    from gannet.methods.itq import ITQ

    if goal not in GOALS:
        raise unknown_name("goal", goal, GOALS)
    if goal == "kind":
        raise GannetError(
            "advice is measured by the nearest items, which says nothing about things of the same kind: fit with "
            "`gannet fit --goal kind`, and compare methods on labeled data with `gannet bench`"
        )
    n_items = None if items is None else _number(items)
    hasher = ImageHasher(ITQ(n_bits=32, random_state=0))
    opened = open_source(source, sample=hasher.sample(_ROWS if is_matrix(source) else _IMAGES), **reading)
    training = hasher.read_training(opened, "all")
    warn_skipped(training.skipped)
    advice = measure(training, goal, n_items or opened.total)
    best = advice.recommended
    command = f"gannet fit {shlex.quote(source)} -o codes.model --method {best.method} --bits {best.n_bits}"
    command += _reading(reading)
    if as_json:
        say_json(asdict(advice) | {"command": command})
        return
    say(f"{'method':16} bits order    bytes   @1   @10  @100     fit  encode  search {advice.n_items:,}")
    for row in advice.rows:
        say(_line(row))
    say(f"{advice.n_queries:,} items held out, compared with {advice.n_database:,}. Times to search are those of a")
    say("scan by Hamming distance, scaled linearly from one of 200,000 codes.")
    for text in advice.left_out:
        say(f"not measured: {text}")
    say(f"\n{command}\n{advice.reason}")


def _line(row: Row) -> str:
    recall = " ".join(f"{value:5.2f}" for value in row.recall.values())
    return (
        f"{row.method:16} {row.n_bits or '-':>4} {row.order:8} {row.bytes_per_item:5} {recall} "
        f"{_time(row.fit_seconds, 1, 's')} {_time(row.encode_seconds, 1e6, 'us')} {_time(row.scan_seconds, 1e3, 'ms')}"
    )


def _time(seconds: float | None, factor: float, unit: str) -> str:
    return f"{'-' if seconds is None else f'{seconds * factor:.1f} {unit}':>9}"


def _number(text: str) -> int:
    """Return a whole number that may end with k, M or G."""
    match = re.fullmatch(r"([1-9]\d{0,11})([kMG]?)", text)
    if match is None:
        raise GannetError(f"--items must be a whole number from 1, such as 500k or 10M, not {text!r}")
    return int(match[1]) * {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}[match[2]]


def _reading(options: dict[str, Any]) -> str:
    """Return the options for reading, as they are given again on a command line."""
    words = []
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value:
            for each in [value] if isinstance(value, str) else value:
                words += [option, shlex.quote(each)]
    return "".join(f" {word}" for word in words)
