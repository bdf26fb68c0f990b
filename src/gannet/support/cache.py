"""The cache directory, for files that can be computed or downloaded again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache directory, which need not exist: ``$GANNET_CACHE``, or by default the user's for ``gannet``.

    It holds features, converted weights, compiled networks and downloaded data sets, and may be deleted at any time.
    """
    chosen = os.environ.get("GANNET_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("gannet", appauthor=False))
