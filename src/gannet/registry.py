"""Finding what can be plugged in: methods, image networks, sources and indexes, by name.

A registry knows the classes that Gannet brings, one file each in a folder of the package, and those that other
installed distributions bring as entry points. What is passed directly, as a class or an instance, needs no registry.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from gannet.errors import GannetError, unknown_name

T = TypeVar("T")

_log = logging.getLogger("gannet")


class Registry(Generic[T]):
    """The classes of one kind, by name.

    Parameters
    ----------
    kind : str
        What the classes are, in error messages: ``"method"``, ``"backbone"``.
    base : type
        Classes of the package's own folder must be subclasses of it. Classes of entry points need not be.
    package : str
        Import name of the folder whose modules hold the classes, such as ``"gannet.methods"``.
    group : str
        Entry-point group of other distributions, such as ``"gannet.methods"``.

    Notes
    -----
    An entry point is imported when its class is asked for. Where it cannot be imported, the listing leaves it out with
    a warning, and asking for it by name raises an error that says why. A name that Gannet itself uses stays Gannet's.
    """

    def __init__(self, kind: str, base: type[T], package: str, group: str) -> None:
        self.kind = kind
        self._base = base
        self._package = package
        self._group = group
        self._own: dict[str, type[T]] | None = None

    def all(self) -> dict[str, type[T]]:
        """Return every class that can be imported.

        Returns
        -------
        dict of str to type
            The classes by name, in alphabetical order.
        """
        return dict(sorted({**self.own(), **self.others()}.items()))

    def own(self) -> dict[str, type[T]]:
        """Return the classes of the package's own folder.

        Returns
        -------
        dict of str to type
            The classes by name, in alphabetical order.
        """
        if self._own is None:
            found = {cls.name: cls for cls in self._walk()}  # type: ignore[attr-defined]
            self._own = dict(sorted(found.items()))
        return dict(self._own)

    def others(self) -> dict[str, type[T]]:
        """Return the classes of other distributions that can be imported.

        Returns
        -------
        dict of str to type
            The classes by name, in alphabetical order.
        """
        found = {}
        for name, entry_point in sorted(self._entry_points().items()):
            try:
                found[name] = self._load(entry_point)
            except GannetError as error:
                _log.warning("%s", error)
        return found

    def get(self, name: str) -> type[T]:
        """Return the class of a name.

        Parameters
        ----------
        name : str
            One of the names that `all` lists.

        Returns
        -------
        type
            The class.

        Raises
        ------
        GannetError
            If there is no such name (the message suggests the nearest), or if its distribution cannot be imported.
        """
        own = self.own()
        if name in own:
            return own[name]
        others = self._entry_points()
        if name in others:
            return self._load(others[name])
        raise unknown_name(self.kind, name, [*own, *others])

    def _walk(self) -> Iterator[type[T]]:
        package = importlib.import_module(self._package)
        for info in pkgutil.iter_modules(package.__path__):
            if info.name.startswith("_"):
                continue
            module = importlib.import_module(f"{self._package}.{info.name}")
            for value in vars(module).values():
                # A class counts where it is defined and named: neither where it is imported, nor if it is abstract.
                is_class = isinstance(value, type) and issubclass(value, self._base) and "name" in vars(value)
                if is_class and value.__module__ == module.__name__:
                    yield value

    def _entry_points(self) -> dict[str, EntryPoint]:
        own = self.own()
        return {point.name: point for point in entry_points(group=self._group) if point.name not in own}

    def _load(self, entry_point: EntryPoint) -> type[T]:
        try:
            loaded: Any = entry_point.load()
        except Exception as error:  # foreign code may fail in any way as it is imported
            reason = " ".join(str(error).split()) or type(error).__name__
            raise GannetError(
                f"the {self.kind} {entry_point.name!r} of {_distribution(entry_point)} cannot be imported: {reason}"
            ) from error
        if not isinstance(loaded, type):
            raise GannetError(
                f"the {self.kind} {entry_point.name!r} of {_distribution(entry_point)} is no class: its entry point in "
                f"the group {self._group!r} must name one"
            )
        return loaded


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else "an installed distribution"
