"""``gannet demo``: run the whole chain on a public data set."""

from __future__ import annotations

from pathlib import Path

import click

from gannet.cli.output import say

_FOLDER = Path("gannet-demo")


@click.command(epilog="Example: gannet demo")
def demo() -> None:
    """Learn, index and search a public data set.

    The demo uses CIFAR-10 or Fashion-MNIST from $GANNET_DATA, ./data or its cache. If it finds neither, it downloads
    one; if that fails too, it uses scikit-learn's digits. It writes a model, a collection and a page with the results
    to the folder gannet-demo.
    """
    from gannet.data.datasets import find_dataset
    from gannet.demo import run_demo

    dataset = find_dataset()
    for attempt in dataset.attempts:
        say(f"not used: {attempt}")
    say(f"data: {dataset.name}, {dataset.note}, {len(dataset):,} pictures")
    files = run_demo(dataset, _FOLDER, say)
    say(f"\nopen {files.page.resolve()}")
    say("\nnext, use your own pictures:")
    say("  gannet fit ~/Pictures -o photos.model")
    say("  gannet index ~/Pictures -m photos.model -o photos.gannet")
    say("  gannet search photos.gannet some-picture.jpg --html neighbors.html")
