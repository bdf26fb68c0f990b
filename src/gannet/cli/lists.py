"""``gannet methods`` and ``gannet backbones``: list the methods and the image networks."""

from __future__ import annotations

from typing import Any

import click

from gannet.cli.output import say, say_json

_UNITS = {"features": "features", "size": "px"}
_TAKES = {"views": "features of several random views per image", "pixels": "pixels, without an image network"}


@click.command(epilog="Example: gannet methods --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def methods(as_json: bool) -> None:
    """List the methods that learn codes.

    Each method is listed with its paper and its settings. Methods of other installed packages are included.
    """
    from gannet.hashers import all_hashers
    from gannet.hashers.settings import defaults

    rows: list[dict[str, Any]] = [
        {"name": name, "reference": hasher.reference, "takes": hasher().takes.kind, "settings": defaults(hasher)}
        for name, hasher in all_hashers().items()
    ]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        say(f"{row['name']}\n    {row['reference']}")
        if row["takes"] in _TAKES:
            say(f"    learns from images: {_TAKES[row['takes']]}")
        settings = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        if settings:
            say(f"    settings: {settings}")


@click.command(epilog="Example: gannet backbones --json")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backbones(as_json: bool) -> None:
    """List the image networks, and the libraries whose networks can be named.

    Each is listed with its paper or address and, if it cannot run on this machine, the reason.
    """
    from gannet.backbones import DEFAULT_BACKBONE, all_backbones, network_libraries

    # A network of another distribution need not have the attributes of `Backbone`.
    rows = [
        {
            "name": name,
            "reference": getattr(backbone, "reference", None),
            "features": getattr(backbone, "n_features", None),
            "size": getattr(backbone, "default_size", getattr(backbone, "size", None)),
            "default": name == DEFAULT_BACKBONE,
            "unavailable": backbone.unavailable() if hasattr(backbone, "unavailable") else None,
        }
        for name, backbone in all_backbones().items()
    ]
    rows += [
        {
            "name": f"{name}:{library.form}",
            "reference": library.reference,
            "example": library.example,
            "default": False,
            "unavailable": library.unavailable(),
        }
        for name, library in network_libraries().all().items()
    ]
    if as_json:
        say_json(rows)
        return
    for row in rows:
        mark = " (default)" if row["default"] else ""
        facts = [f"{row[key]} {unit}" for key, unit in _UNITS.items() if row.get(key) is not None]
        if "example" in row:
            facts = [f"for example {row['example']}"]
        say(f"{row['name']}{mark}: {', '.join(facts) or 'no details'}")
        if row["reference"]:
            say(f"    {row['reference']}")
        if row["unavailable"]:
            say(f"    not available: {row['unavailable']}")
