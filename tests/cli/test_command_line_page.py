"""docs/command-line.md describes every command, argument and option, and no others."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from gannet.cli import make_group

GROUP = make_group()
NAMES = GROUP.list_commands(click.Context(GROUP))
PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## `gannet ([\w-]+)`\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def parameters(name: str, kind: type[click.Parameter]) -> list[click.Parameter]:
    """Return the parameters that a command does not share with all others."""
    own = GROUP.get_command(click.Context(GROUP), name).params
    return [each for each in own if isinstance(each, kind) and each not in GROUP.params]


def test_the_introduction_lists_the_options_of_every_command() -> None:
    introduction = PAGE[: PAGE.index("\n## ")]
    shared = [option for option in GROUP.params if option.name != "version"]
    assert shared
    for option in shared:
        value = "" if option.is_flag else f" {option.metavar}"
        assert f"`{option.opts[0]}{value}`" in introduction and option.help
        assert all(option in GROUP.get_command(click.Context(GROUP), name).params for name in NAMES)


def test_every_command_has_a_section() -> None:
    assert list(SECTIONS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_row(name: str) -> None:
    rows = re.findall(r"^\| (`-.*?) \| .+ \|$", SECTIONS[name], re.MULTILINE)
    listed = [re.findall(r"(?<!\S)`?(--?[a-z][\w-]*)", row) for row in rows]
    assert listed == [option.opts for option in parameters(name, click.Option)]


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_named(name: str) -> None:
    for argument in parameters(name, click.Argument):
        assert f"`{argument.make_metavar(click.Context(GROUP)).removesuffix('...')}`" in SECTIONS[name]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_an_example(name: str) -> None:
    assert re.search(rf"^```(sh\n|console\n\$ )gannet {name}\b", SECTIONS[name], re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_every_help_text_is_complete(name: str) -> None:
    command = GROUP.get_command(click.Context(GROUP), name)
    assert command.help and re.search(rf"Examples?:\s+gannet {name}\b", command.epilog)
    assert all(option.help for option in parameters(name, click.Option))
