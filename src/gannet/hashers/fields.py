"""Settings of hashers as annotated class attributes, which become keyword arguments and documentation."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, dataclass_transform

_HEADING = re.compile(r"^\S.*\n-{3,}\n", re.MULTILINE)
_PARAMETERS = "Parameters\n----------\n"


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class DeclaresSettings:
    """Turn every subclass into a dataclass whose fields are its settings.

    A subclass declares a setting as an annotated class attribute with a default, and gets a constructor that stores all
    settings, inherited ones included, as keyword arguments. It changes an inherited default by declaring the
    setting again. A class that defines ``__init__`` itself keeps it, for its subclasses too. The entries of a class's
    docstring for inherited settings are added to its ``Parameters`` section.

    Raises
    ------
    TypeError
        If a class assigns an inherited setting without an annotation, which the constructor would ignore.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in vars(cls).keys() - inspect.get_annotations(cls).keys():
            if is_dataclass(cls) and name in (setting.name for setting in fields(cls)):
                raise TypeError(f"{cls.__name__}.{name} overrides a setting: annotate it, as in `{name}: int = ...`")
        text = cls.__doc__
        generates = not _has_own_init(cls)
        dataclass(init=generates, eq=False, repr=False, kw_only=True)(cls)
        if generates:
            cls.__init__.__signature__ = inspect.Signature(_in_order(cls))  # type: ignore[attr-defined]
        if text is not None:
            cls.__doc__ = _with_inherited_entries(cls, text)


def _in_order(cls: type) -> list[inspect.Parameter]:
    """Return the constructor's parameters: self, the length of the codes, the class's own settings, inherited ones."""
    parameters = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    declared = (name for base in cls.__mro__ for name in inspect.get_annotations(base) if name in parameters)
    return [parameters[name] for name in dict.fromkeys([*list(parameters)[:2], *declared])]


def _has_own_init(cls: type) -> bool:
    """Return whether the constructor of a class is written by hand, in the class or in a base."""
    owner = next(base for base in cls.__mro__ if "__init__" in vars(base))
    if owner is cls:
        return True
    is_generated = "__dataclass_params__" in vars(owner) and vars(owner)["__dataclass_params__"].init
    return owner is not object and not is_generated


def _with_inherited_entries(cls: type, text: str) -> str:
    """Return a docstring whose section of parameters has an entry for every setting that a base documents."""
    before, own, after = _split(text)
    entries = {
        name: entry for base in reversed(cls.__mro__[1:]) for name, entry in _entries(base.__doc__ or "").items()
    }
    entries |= _entries(own)
    # One entry may document several settings.
    lines = dict.fromkeys(entries[name] for name in inspect.signature(cls).parameters if name in entries)
    return "\n\n".join(part for part in (before, _PARAMETERS + "\n".join(lines), after) if part) + "\n"


def _split(text: str) -> tuple[str, str, str]:
    """Split a docstring into the text before its section of parameters, the section, and the text after it."""
    text = inspect.cleandoc(text)
    headings = list(_HEADING.finditer(text))
    place = next((i for i, heading in enumerate(headings) if heading[0] == _PARAMETERS), None)
    ends = [*(heading.start() for heading in headings), len(text)]
    start, end = (ends[0], ends[0]) if place is None else (ends[place], ends[place + 1])
    return text[:start].strip(), text[start:end].strip(), text[end:].strip()


def _entries(text: str) -> dict[str, str]:
    """Return the entries of a docstring's section of parameters, by the name of the setting."""
    section = _split(text)[1].removeprefix(_PARAMETERS)
    found = re.split(r"^(?=\S)", section, flags=re.MULTILINE)
    return {name.strip(): entry.rstrip() for entry in found if entry for name in entry.split(" : ")[0].split(",")}
