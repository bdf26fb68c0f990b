"""A click group whose commands are imported when they are used, so that each starts as fast as it can."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

from gannet.errors import unknown_name

_HELP = """Learn compact binary codes for images without labels, and search them.

\b
  gannet demo                                        see it work, with no data of your own
  gannet fit ~/Pictures -o photos.model              learn codes
  gannet index ~/Pictures -m photos.model -o photos.gannet
  gannet search photos.gannet query.jpg --html neighbours.html
"""


class LazyGroup(click.Group):
    """Commands by name, given as ``module:attribute``."""

    def __init__(self, name: str, homes: Mapping[str, str]) -> None:
        super().__init__(name, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
        self._homes = homes

    def with_version(self, version: str) -> LazyGroup:
        """Add ``--version``."""
        click.version_option(version, prog_name="gannet")(self)
        return self

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order a newcomer meets them."""
        return list(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import a command; an unknown one is an error with the nearest name."""
        if cmd_name not in self._homes:
            raise unknown_name("command", cmd_name, self._homes)
        module, attribute = self._homes[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command
