"""``gannet fit``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from gannet.cli.output import check_folder, parse_settings, say, warn_skipped
from gannet.cli.sources import open_source, reading_options
from gannet.errors import GannetError
from gannet.training.fine_tuning import FineTuning

_FINE_TUNING_SETTINGS = ", ".join(f"{field.name}={field.default}" for field in fields(FineTuning))
_EXAMPLES = """\b
Examples:
  gannet fit ~/Pictures -o photos.model --bits 64
  gannet fit ~/Pictures -o photos.model --train-backbone --checkpoint run1 --set batch_size=32 --set n_steps=200
  torchrun --nproc-per-node 2 --no-python gannet fit ~/Pictures -o photos.model --train-backbone
"""


@click.command(epilog=_EXAMPLES)
@click.argument("source")
@click.option("-o", "--output", required=True, metavar="M", help="The model file to write.")
@click.option("--method", default="uhga", show_default=True, help="A method that `gannet methods` lists.")
@click.option("--bits", default=64, show_default=True, type=int, help="Length of the codes.")
@click.option("--backbone", default=None, help="An image network that `gannet backbones` lists; for images only.")
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
@reading_options
def fit(
    source: str,
    output: str,
    method: str,
    bits: int,
    backbone: str | None,
    seed: int,
    settings: Sequence[str],
    train_backbone: bool,
    checkpoint: str | None,
    **reading: Any,
) -> None:
    """Learn codes from SOURCE, without labels.

    SOURCE is a folder of images (subfolders included), a .zip of images, the official CIFAR-10, or a matrix of
    embeddings (.npy, .npz or .parquet), which needs no image network. The result is a model file for `gannet index`.
    """
    from gannet.data import MatrixSource
    from gannet.hashers.settings import make_hasher, split_fine_tuning
    from gannet.hashers.takes import FromPixels
    from gannet.image_hasher import ImageHasher

    _check_output(Path(output))
    fine_tuning, own = split_fine_tuning(parse_settings(settings), train_backbone)
    if checkpoint is not None and fine_tuning is None:
        raise GannetError("--checkpoint is for training the image network: add --train-backbone")
    learner = make_hasher(method, bits, seed, own)
    if isinstance(learner.takes, FromPixels) and backbone is not None:
        raise GannetError(f"{method} reads images without an image network: leave --backbone out")
    hasher = ImageHasher(learner, backbone, fine_tuning or False, checkpoint)
    opened = open_source(source, **reading)
    if isinstance(opened, MatrixSource) and backbone is not None:
        raise GannetError(f"{source} is a matrix of features: leave --backbone out")
    if isinstance(opened, MatrixSource) and train_backbone:
        raise GannetError(f"{source} is a matrix of features: leave --train-backbone out")
    features = hasher.read_training(opened)
    if len(features.values):
        warn_skipped(features.skipped)
    started = time.perf_counter()
    hasher.learn(features)
    seconds = time.perf_counter() - started
    if not hasher.saves:
        return
    hasher.save(output)
    say(f"learned {bits} bits from {len(features.values):,} items with {method} in {seconds:.1f} s: {output}")


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
