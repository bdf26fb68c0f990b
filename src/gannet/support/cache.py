"""The cache directory, where what can be made or fetched again is kept between runs."""

from __future__ import annotations

import os
from pathlib import Path


def cache_dir() -> Path:
    """Return the cache directory, which need not exist: ``$GANNET_CACHE``, else the user's for ``gannet``.

    It holds features, converted weights, compiled networks and fetched data sets. Deleting it is always safe.
    """
    chosen = os.environ.get("GANNET_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("gannet", appauthor=False))
