"""``gannet methods`` and ``gannet backbones``: what there is to choose from."""

from __future__ import annotations

import click

from gannet.cli.output import say, say_json

_TAKES = {"views": "features of several random views of each", "pixels": "the pixels themselves"}


@click.command(epilog="Example: gannet methods --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def methods(as_json: bool) -> None:
    """List the methods that learn codes, with their papers and settings."""
    from gannet.hashers import all_hashers
    from gannet.hashers.settings import defaults

    rows = [
        {"name": name, "reference": hasher.reference, "takes": hasher().takes.kind, "settings": defaults(hasher)}
        for name, hasher in all_hashers().items()
    ]
    if as_json:
        say_json(rows)
        return
    for name, hasher in all_hashers().items():
        say(f"{name}\n    {hasher.reference}")
        if hasher().takes.kind in _TAKES:
            say(f"    learns from images: {_TAKES[hasher().takes.kind]}")
        settings = ", ".join(f"{key}={value}" for key, value in defaults(hasher).items())
        if settings:
            say(f"    settings: {settings}")


@click.command(epilog="Example: gannet backbones --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backbones(as_json: bool) -> None:
    """List the image networks, and whether they can run here."""
    from gannet.backbones import DEFAULT_BACKBONE, all_backbones

    rows = [
        {
            "name": name,
            "reference": backbone.reference,
            "features": backbone.n_features,
            "size": backbone.default_size,
            "default": name == DEFAULT_BACKBONE,
            "unavailable": backbone.unavailable(),
        }
        for name, backbone in all_backbones().items()
    ]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        mark = " (default)" if row["default"] else ""
        say(f"{row['name']}{mark}: {row['features']} features, {row['size']} px\n    {row['reference']}")
        if row["unavailable"]:
            say(f"    cannot run here: {row['unavailable']}")
