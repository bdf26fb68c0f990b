"""``gannet encode``: encode sources into a folder of Parquet files, which a later run can complete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from gannet.cli.output import check_folder, say, say_json, warn_skipped
from gannet.cli.sources import open_source, reading_options


@click.command(epilog="Example: gannet encode ~/Pictures -m photos.model -o photos-codes --workers 4")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("-m", "--model", "model_path", required=True, metavar="M", help="Model file that `gannet fit` wrote.")
@click.option("-o", "--output", required=True, metavar="FOLDER", help="Folder of Parquet files to write or complete.")
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Encode with N processes; default 1.")
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="Encode images on this Ray cluster, such as auto or ray://HOST:10001; local starts one on this machine.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@reading_options
def encode(
    sources: Sequence[str],
    model_path: str,
    output: str,
    workers: int | None,
    ray: str | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Encode each SOURCE into a folder of Parquet files of codes, ids, paths and digests.

    A SOURCE is as for `gannet index`. Each file of the folder appears when it is complete. If the command is
    interrupted, run it again: only the missing files are encoded. `gannet index FOLDER -o C` makes a collection of the
    folder, which also holds the model.
    """
    from gannet.data import ReadOptions
    from gannet.encoding import encode_folder
    from gannet.model import Model

    if workers is not None and ray is not None:
        raise click.UsageError("--workers and --ray both say where to encode: give one of them")
    check_folder(Path(output))
    model = Model.load(model_path)
    started = time.perf_counter()
    opened = [open_source(source, **reading) for source in sources]
    done = encode_folder(opened, model, output, n_workers=workers or 1, ray=ray, options=ReadOptions(**reading))
    seconds = time.perf_counter() - started
    warn_skipped(done.skipped)
    if as_json:
        counts = {"n_items": done.n_items, "n_encoded": done.n_encoded, "n_skipped": len(done.skipped)}
        say_json({"folder": output, **counts, "n_shards": done.n_shards, "seconds": round(seconds, 3)})
    else:
        skipped = f", skipped {len(done.skipped):,}" if done.skipped else ""
        say(
            f"encoded {done.n_encoded:,} items in {seconds:.1f} s{skipped}: {output} holds {done.n_items:,} in "
            f"{done.n_shards:,} files"
        )
