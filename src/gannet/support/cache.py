"""The cache directory, for files that can be computed or downloaded again."""

from __future__ import annotations

import os
from pathlib import Path

from gannet.errors import GannetError


def cache_dir() -> Path:
    """Return the cache directory, which need not exist: ``$GANNET_CACHE``, or by default the user's for ``gannet``.

    It holds features, converted weights, compiled networks and downloaded data sets, and may be deleted at any time.
    Raises a `GannetError` if there is neither ``$GANNET_CACHE`` nor a home folder.
    """
    import platformdirs

    chosen = os.environ.get("GANNET_CACHE")
    try:
        return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("gannet", appauthor=False))
    except RuntimeError:
        raise GannetError(
            "the cache needs a folder, and the user has no home folder: set GANNET_CACHE to the path of a folder"
        ) from None


def has_home() -> bool:
    """Return whether the user has a home folder."""
    try:
        return Path.home().is_absolute()
    except RuntimeError:
        return False
