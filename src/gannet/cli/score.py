"""``gannet score``: evaluate saved codes."""

from __future__ import annotations

import click

from gannet.cli.output import say, say_json


@click.command(epilog="Example: gannet score codes.npz --top 5000 --compat deephash-pytorch")
@click.argument("file")
@click.option(
    "--top", default=None, type=int, metavar="N", help="Cutoff of average precision. Default: the whole ranking."
)
@click.option("--compat", default=None, metavar="NAME", help="Also compute MAP as the evaluator of this project does.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def score(file: str, top: int | None, compat: str | None, as_json: bool) -> None:
    """Evaluate codes that any project saved.

    The command prints the scores and explains what influences them.

    FILE is an .npz file with the arrays query_codes, database_codes, query_labels and database_labels. Codes are 0/1,
    -1/+1, or packed bits (uint8, with a scalar `bits`). Labels are class ids, or rows of 0/1 for items with several
    labels. An optional array query_values holds the real values of the queries, (queries, bits), for MAP of the ranking
    by asymmetric score.
    """
    from gannet.evaluation import score as scoring

    result = scoring.score(file, top, compat)
    if as_json:
        say_json(result)
        return
    at = "ALL" if result["map_at"] is None else f"{result['map_at']:,}"
    say(f"MAP@{at} {result['map']:.4f}   lowest {result['map_worst']:.4f}, highest {result['map_best']:.4f}")
    if result["map_asymmetric"] is not None:
        say(f"by asymmetric score {result['map_asymmetric']:.4f}")
    for name, value in result.get("compat", {}).items():
        say(f"as {name} computes it {value:.4f}")
    for title, figures in (("precision", result["precision_at"]), ("recall", result["recall_at"])):
        say("   ".join(f"{title}@{n} {value:.4f}" for n, value in figures.items()))
    say(f"precision within radius 2 {result['precision_radius_2']:.4f}")
    say(f"{result['n_queries']:,} queries, {result['n_database']:,} in the database, {result['n_bits']} bits")
    for note in result["notes"]:
        say(f"- {note}")
