"""Options for reading a source, shared by the commands that read one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gannet.cli.output import warn

if TYPE_CHECKING:
    from gannet.data import ImageSource, MatrixSource

Command = TypeVar("Command", bound=Callable[..., Any])

_MATRIX_OPTIONS = (
    click.option(
        "--features",
        multiple=True,
        metavar="COLUMNS",
        help="Of a matrix: the columns of features, as names or patterns separated by commas, or the array of an .npz.",
    ),
    click.option(
        "--names", metavar="COLUMN|FILE", help="Of a matrix: what names the items, or a file with one name per line."
    ),
    click.option(
        "--skip-nan", is_flag=True, help="Of a matrix: skip rows with NaN, infinity or missing values, and count them."
    ),
)
_IMAGE_OPTIONS = (
    click.option(
        "--exclude",
        multiple=True,
        metavar="PATTERN",
        help="Of images: leave out files and folders that match; repeatable. An empty PATTERN turns the defaults off.",
    ),
    click.option("--truncated", is_flag=True, help="Of images: read pictures that are cut off as far as they go."),
)


def reading_options(command: Command) -> Command:
    """Add the options to a command. It passes them to `open_source`."""
    return _add(command, _MATRIX_OPTIONS + _IMAGE_OPTIONS)


def image_options(command: Command) -> Command:
    """Add the options for images alone to a command. It passes them to `open_source`."""
    return _add(command, _IMAGE_OPTIONS)


def _add(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def open_source(source: str, **options: Any) -> ImageSource | MatrixSource:
    """Open a source with the options, and print its notes on standard error."""
    from gannet import data
    from gannet.code_folder import is_code_folder
    from gannet.errors import GannetError

    if is_code_folder(source):
        raise GannetError(
            f"{source} holds codes, not images or features: give it to `gannet index`, `gannet add` or `gannet export`"
        )
    opened = data.open_source(source, **options)
    for note in opened.notes:
        warn(note)
    return opened
