"""Import of optional libraries, with an error that names the extra to install."""

from __future__ import annotations

import importlib
from typing import Any

from gannet.errors import GannetError, MissingExtraError
from gannet.support import threads


def load(library: str, extra: str, purpose: str) -> Any:
    """Import a library that an extra of the package brings, with Gannet's limit on threads, and return it.

    Raises `MissingExtraError` if it is not installed, and `GannetError` if importing it fails for another reason.
    """
    try:
        module = importlib.import_module(library)
    except ModuleNotFoundError as error:
        if error.name == library.partition(".")[0]:
            raise MissingExtraError(error.name, extra, purpose) from error
        raise broken(library, purpose, error) from error
    except (ImportError, OSError) as error:  # a shared library that cannot be loaded is an OSError
        raise broken(library, purpose, error) from error
    threads.limit_torch()
    return module


def broken(library: str, purpose: str, error: Exception) -> GannetError:
    """Return the error for a library that is installed but cannot be imported."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return GannetError(f"{purpose} needs {library}, which is installed but cannot be imported: {reason}")
