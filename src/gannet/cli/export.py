"""``gannet export``: write a collection or a folder of codes to an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gannet.cli.output import say, say_json, warn_skipped

if TYPE_CHECKING:
    from gannet.engines.export import Exported


@click.command(epilog="Example: gannet export photos.gannet duckdb:photos.duckdb")
@click.argument("collection")
@click.argument("target")
@click.option("--sync", is_flag=True, help="Bring an earlier export up to date.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def export(collection: str, target: str, sync: bool, as_json: bool) -> None:
    """Export COLLECTION to TARGET, an engine such as a database.

    COLLECTION can also be a folder that `gannet encode` wrote, whose codes and ids are taken as they are.

    `gannet search` and `gannet serve` then take TARGET in place of the collection. It holds the codes, ids, paths and
    digests of all items, and the model.

    An interrupted export continues when the command is run again. --sync writes what was added, removed or renamed
    since the last export. A folder is also brought up to date from another folder of the same sources.
    """
    from gannet.engines.export import export as run

    done = run(collection, target, sync)
    warn_skipped(done.skipped)
    if as_json:
        say_json(done.as_dict())
    else:
        _say(done)


def _say(done: Exported) -> None:
    counts = {"added": done.added, "removed": done.removed, "renamed": done.renamed}
    changes = ", ".join(f"{n:,} {what}" for what, n in counts.items() if n) or "nothing to write"
    say(f"{done.target} holds {done.items:,} items: {changes}")
    if not done.exact:
        recall = "it holds no items" if done.recall is None else f"recall {done.recall:.3f} of the 10 nearest"
        say(f"searches are approximate: {recall}")
