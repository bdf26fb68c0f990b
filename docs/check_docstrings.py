"""Check the docstrings of everything public with numpydoc: ``make check`` runs it.

Public is what the API reference, ``docs/reference.rst``, lists, with the public methods of its classes.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import validate

import gannet

REFERENCE = Path(__file__).with_name("reference.rst")
# The numpydoc checks that are on: https://numpydoc.readthedocs.io/en/latest/validation.html
CHECKS = {
    "GL06", "GL07", "GL08",  # only known sections, in numpydoc's order; a docstring is there
    "PR01", "PR02", "PR03", "PR04", "PR07",  # parameters: all, no others, in order, with type and description
    "RT01", "YD01",  # what is returned or yielded
    "SS01", "SS02", "SS03", "SS04", "SS05", "SS06",  # the summary: a sentence on one line
}  # fmt: skip


def documented_names() -> list[str]:
    """Return the dotted names that the API reference lists."""
    return re.findall(r"^   (gannet\.[\w.]+)$", REFERENCE.read_text("utf-8"), re.MULTILINE)


def unlisted_names() -> list[str]:
    """Return the names of ``gannet.__all__`` that the API reference lacks."""
    return sorted({f"gannet.{name}" for name in gannet.__all__} - set(documented_names()))


def resolve(name: str) -> Any:
    """Return the object of a dotted name; the attributes of modules may be loaded lazily."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def public_methods(cls: type) -> Iterator[str]:
    """Yield the names of public methods and properties that Gannet defines, without those that inherit a docstring."""
    for name in dir(cls):
        owner = next((base for base in cls.__mro__ if name in vars(base)), cls)
        member = vars(owner).get(name)
        is_method = inspect.isfunction(member) or isinstance(member, (classmethod, staticmethod, property))
        inherits = is_method and member.__doc__ is None and inspect.getdoc(getattr(cls, name)) is not None
        if not name.startswith("_") and is_method and not inherits and owner.__module__.startswith("gannet"):
            yield name


def applies(code: str, value: Any) -> bool:
    """Return whether a check applies to an object.

    Keyword-only parameters have no order, a protocol is not called, and a record may list its fields as attributes.
    """
    if code not in ("PR01", "PR03"):
        return True
    parameters = inspect.signature(value).parameters
    if code == "PR03":
        return sum(parameter.kind is not parameter.KEYWORD_ONLY for parameter in parameters.values()) > 1
    documented = NumpyDocString(inspect.getdoc(value))
    entries = [*documented["Parameters"], *documented["Attributes"]]
    names = {name for entry in entries for name in re.split(r",\s*", entry.name)}
    return not (getattr(value, "_is_protocol", False) or (inspect.isclass(value) and names.issuperset(parameters)))


def documented_methods(cls: type) -> Iterator[str]:
    """Yield the names of public methods, without overrides that have the docstring of the overridden method."""
    for name in public_methods(cls):
        documented = (getattr(vars(base).get(name), "__doc__", None) for base in cls.__mro__)
        if inspect.getattr_static(cls, name).__doc__ is not None or not any(documented):
            yield name


def problems(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the place, the name and the message of each failed check of a public name and its methods."""
    found = resolve(name)
    checked_objects = {name: found}
    if inspect.isclass(found):
        checked_objects |= {f"{name}.{method}": getattr(found, method) for method in documented_methods(found)}
    for checked, value in checked_objects.items():
        result = validate(checked)
        place = f"{Path(result['file']).name}:{result['file_line']}" if result["file"] else name
        for code, message in result["errors"]:
            if code in CHECKS and applies(code, value):
                yield place, checked, f"{code} {message}"


def main() -> int:
    """Print the failed checks, those of an inherited method once, and return the exit status."""
    names = documented_names()
    missing = [f"docs/reference.rst does not list {name}" for name in unlisted_names()]
    failed: dict[tuple[str, str], str] = {}
    for place, checked, message in (problem for name in names for problem in problems(name)):
        failed.setdefault((place, message), f"{place}: {checked}: {message}")
    print("\n".join([*missing, *failed.values()]) or f"docstrings: {len(names)} public names, no problem")
    return bool(missing or failed)


if __name__ == "__main__":
    sys.exit(main())
