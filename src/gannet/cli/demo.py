"""``gannet demo``."""

from __future__ import annotations

from pathlib import Path

import click

from gannet.cli.output import say

_FOLDER = Path("gannet-demo")


@click.command(epilog="Example: gannet demo")
def demo() -> None:
    """Do the main job on a real data set and write a page to look at; no arguments needed.

    It takes a CIFAR-10 or Fashion-MNIST that it finds in $GANNET_DATA, ./data or its cache, else downloads one, else
    uses scikit-learn's digits.
    """
    from gannet.data.datasets import find_dataset
    from gannet.demo import run_demo

    dataset = find_dataset()
    for attempt in dataset.attempts:
        say(f"not {attempt}")
    say(f"data: {dataset.name}, {dataset.note}, {len(dataset):,} pictures")
    files = run_demo(dataset, _FOLDER, say)
    say(f"\nopen {files.page.resolve()}")
    say("\nnow with your own pictures:")
    say("  gannet fit ~/Pictures -o photos.model")
    say("  gannet index ~/Pictures -m photos.model -o photos.gannet")
    say("  gannet search photos.gannet some-picture.jpg --html neighbours.html")
