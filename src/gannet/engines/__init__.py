"""Exports to databases and files."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from gannet.engines.address import Address, scheme_of
from gannet.engines.engine import Engine, Header, Rows
from gannet.engines.target import Target
from gannet.errors import GannetError, unknown_name

if TYPE_CHECKING:
    from gannet.registry import Registry


@functools.cache
def registry() -> Registry[Engine]:
    """Return the registry of engines."""
    from gannet.registry import Registry

    return Registry("engine", Engine, "gannet.engines.kinds", "gannet.indexes")  # type: ignore[type-abstract]


def all_engines() -> dict[str, type[Engine]]:
    """Return every engine class by its scheme, in alphabetical order.

    Returns
    -------
    dict of str to type
        Gannet's own classes, and the subclasses of `Engine` that other distributions name in the entry-point group
        ``gannet.indexes``.
    """
    return {name: cls for name, cls in registry().all().items() if issubclass(cls, Engine)}


def get_engine(scheme: str) -> type[Engine]:
    """Return the engine class of a scheme.

    Parameters
    ----------
    scheme : str
        The part of a target before the first colon, such as ``"postgresql"``.

    Returns
    -------
    type
        A subclass of `Engine`.

    Raises
    ------
    GannetError
        If there is no such engine (the message suggests the nearest scheme), or if it cannot be imported.
    """
    own = registry().own()
    if scheme in own:
        return own[scheme]
    known = all_engines()
    if scheme not in known:
        raise unknown_name("engine", scheme, known)
    return known[scheme]


def is_target(text: str) -> bool:
    """Return whether a text is the address of a target, and not the path of an existing file.

    Parameters
    ----------
    text : str
        Path of a collection, or a target such as ``duckdb:photos.duckdb``.

    Returns
    -------
    bool
        True if the text begins with a scheme and no file has this name.
    """
    return scheme_of(text) is not None and not Path(text).exists()


def open_engine(target: str, writable: bool = False) -> Engine:
    """Open the store of a target, which need not hold anything yet.

    Parameters
    ----------
    target : str
        Scheme, place and options, such as ``postgresql://host/database?table=photos``.
    writable : bool, default=False
        Whether the store is to be changed; it is created if it does not exist.

    Returns
    -------
    Engine
        The open engine. The caller closes it.

    Raises
    ------
    GannetError
        If the scheme or an option is unknown, if a library is missing, or if the store cannot be opened.
    """
    scheme = scheme_of(target)
    if scheme is None:
        raise GannetError(
            "a target begins with the name of an engine and a colon, as in duckdb:photos.duckdb; there are "
            + ", ".join(all_engines())
        )
    engine = get_engine(scheme)
    return engine(Address.parse(target, engine.options, engine.passes_options), writable)


def open_target(target: str) -> Target:
    """Open a target for searches.

    Parameters
    ----------
    target : str
        Where `export` has written a collection, such as ``duckdb:photos.duckdb``.

    Returns
    -------
    Target
        The open target, which `gannet.search` takes in place of a collection.

    Raises
    ------
    GannetError
        If the target cannot be opened, or if no finished export is there.
    """
    engine = open_engine(target)
    try:
        return Target(engine)
    except BaseException:
        engine.close()
        raise


__all__ = [
    "Address",
    "Engine",
    "Header",
    "Rows",
    "Target",
    "all_engines",
    "get_engine",
    "is_target",
    "open_engine",
    "open_target",
    "registry",
]
