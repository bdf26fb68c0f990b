"""A click group that imports a command only when it is used, so that every command starts fast."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping
from typing import Any

import click

from gannet.errors import unknown_name

_HELP = """Learn compact binary codes for images without labels, and search them.

To see how it works, run the demo. It needs no data of your own:

\b
  gannet demo

To search your own photos, learn codes, encode the photos into a collection, and search it:

\b
  gannet fit ~/Pictures -o photos.model
  gannet index ~/Pictures -m photos.model -o photos.gannet
  gannet search photos.gannet query.jpg --html neighbors.html

`gannet COMMAND --help` describes a command and its options.
"""


def _limit_threads(ctx: click.Context, parameter: click.Parameter, n: int | None) -> Any:
    from gannet.support.threads import limit_threads

    limit_threads(n)


def _print_progress(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    from gannet.support.progress import progress_lines

    if wanted:
        ctx.with_resource(progress_lines())


_COMMON = [
    click.Option(
        ["--threads"],
        type=click.IntRange(min=1),
        metavar="N",
        expose_value=False,
        callback=_limit_threads,
        help="Use at most N threads. Default: $OMP_NUM_THREADS, or one per core.",
    ),
    click.Option(
        ["--progress"],
        is_flag=True,
        expose_value=False,
        callback=_print_progress,
        help="Print a line of progress every half minute, where standard error is no terminal.",
    ),
]
"""Options of the whole command line, which can stand before or after the name of the command."""


class LazyGroup(click.Group):
    """A group of commands, given by name as ``module:attribute``."""

    def __init__(self, name: str, homes: Mapping[str, str]) -> None:
        super().__init__(name, params=[*_COMMON], help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
        self._homes = homes

    def with_version(self, version: str) -> LazyGroup:
        """Add ``--version``."""
        click.version_option(version, prog_name="gannet")(self)
        return self

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands, in the order in which a new user needs them."""
        return list(self._homes)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import a command. The error for an unknown name suggests the nearest one."""
        if cmd_name not in self._homes:
            raise unknown_name("command", cmd_name, self._homes)
        module, attribute = self._homes[cmd_name].split(":")
        command: click.Command = copy.copy(getattr(importlib.import_module(module), attribute))
        command.params = [*command.params, *_COMMON]
        return command
