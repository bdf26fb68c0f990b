"""The command ``gannet``: its subcommands, which read options, call the rest of the package and print the results."""

from __future__ import annotations

import sys

from gannet.cli.group import LazyGroup
from gannet.errors import GannetError

_COMMANDS = {
    "demo": "gannet.cli.demo:demo",
    "fit": "gannet.cli.fit:fit",
    "advise": "gannet.cli.advise:advise",
    "index": "gannet.cli.collect:index",
    "encode": "gannet.cli.encode:encode",
    "add": "gannet.cli.collect:add",
    "sync": "gannet.cli.collect:sync",
    "remove": "gannet.cli.collect:remove",
    "relocate": "gannet.cli.collect:relocate",
    "search": "gannet.cli.search:search",
    "duplicates": "gannet.cli.duplicates:duplicates",
    "export": "gannet.cli.export:export",
    "info": "gannet.cli.inspect:info",
    "check": "gannet.cli.inspect:check",
    "serve": "gannet.cli.serve:serve",
    "bench": "gannet.cli.bench:bench",
    "score": "gannet.cli.score:score",
    "methods": "gannet.cli.lists:methods",
    "protocols": "gannet.cli.bench:protocols",
    "backbones": "gannet.cli.lists:backbones",
}


def main() -> None:
    """Run the command line. An error is one line on standard error, with exit status 2."""
    import click

    try:
        status = make_group().main(sys.argv[1:] or ["--help"], prog_name="gannet", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except click.exceptions.Abort as error:
        _fail(f"interrupted {error.__cause__ or ''}", 130)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except GannetError as error:
        _fail(str(error), 2)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except MemoryError:
        _fail("out of memory: use fewer items or a smaller batch_size", 2)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        _fail("out of memory: use fewer items, a smaller batch_size or a smaller attention_hidden", 2)
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        _fail(f"{name}{error.strerror or error}", 2)


def _fail(message: str, status: int) -> None:
    line = " ".join(message.split())
    sys.stderr.write(f"gannet: {line}\n".encode(errors="backslashreplace").decode())
    sys.exit(status)


def make_group() -> LazyGroup:
    """Return the command ``gannet`` with its subcommands."""
    from gannet import __version__

    group = LazyGroup("gannet", _COMMANDS)
    return group.with_version(__version__)
