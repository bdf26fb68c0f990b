"""``gannet info`` and ``check``: describe a collection, and verify its integrity."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gannet.cli.output import say, say_json

if TYPE_CHECKING:
    from gannet.collection.summary import Summary


@click.command(epilog="Example: gannet info photos.gannet --json")
@click.argument("collection")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(collection: str, as_json: bool) -> None:
    """Describe the items, the model and the codes of COLLECTION.

    The output includes the size, the time of the last change, and how evenly the codes use their bits.
    """
    from gannet.collection import Collection
    from gannet.collection.summary import summarize

    with Collection.open(collection, readonly=True) as store:
        summary = summarize(store)
    if as_json:
        say_json(summary)
    else:
        _say(summary)


@click.command(epilog="Example: gannet check photos.gannet")
@click.argument("collection")
def check(collection: str) -> None:
    """Verify the integrity of COLLECTION.

    This command reads the whole file and compares it with its checksums and indexes. The exit status is 2 if the
    collection is damaged.
    """
    from gannet.collection import Collection
    from gannet.collection.stored_model import read_model

    with Collection.open(collection, readonly=True) as store:
        store.check()
        read_model(store)
        say(f"{collection} is sound: {len(store):,} items")


def _say(summary: Summary) -> None:
    model, codes = summary["model"], summary["codes"]
    kept = f", and {summary['features']} features each" if summary["features"] else ""
    lines = {
        "items": f"{summary['items']:,}",
        "codes": f"{summary['bits']} bits, {codes['distinct']:,} distinct{kept}",
        "model": f"{model['method']}, {model['backbone'] or 'feature vectors'}, {model['id'][:12]}",
        "size": f"{summary['bytes']:,} bytes",
        "created": summary["created"],
        "last change": summary["changed"],
    }
    if codes["entropy"] is not None:
        lines["bit balance"] = f"each bit is 1 in {codes['balance_min']:.1%} to {codes['balance_max']:.1%} of the items"
        lines["bit entropy"] = f"{codes['entropy']:.3f} (maximum 1)"
    for name, text in lines.items():
        say(f"{name:<12} {text}")
