"""The error class of the package, and the error for unknown names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_LISTED = 60


class GannetError(ValueError):
    """Bad input or a bad file: the message is one line that says what to do."""


class MissingExtraError(GannetError, ImportError):
    """An optional library is needed and not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}: pip install 'gannet-hash[{extra}]'")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> GannetError:
    """Return the error for a name that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    if near:
        hint = f"did you mean {near[0]!r}?"
    elif len(names) > _MOST_LISTED:
        hint = f"none of the {len(names):,} names is similar"
    else:
        hint = f"one of: {', '.join(names)}" if names else "there are none"
    return GannetError(f"unknown {kind} {name!r}; {hint}")
