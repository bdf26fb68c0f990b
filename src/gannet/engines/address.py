"""Addresses of targets: a scheme, a place and options, such as ``postgresql://host/database?table=photos``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlencode

from gannet.errors import GannetError, unknown_name

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]+):")  # two letters or more: C:\photos is a path


def scheme_of(text: str) -> str | None:
    """Return the scheme with which a text begins, or None if it begins with none."""
    found = _SCHEME.match(text)
    return found[1] if found else None


@dataclass(frozen=True)
class Address:
    """A parsed target.

    Attributes
    ----------
    scheme : str
        Name of the engine.
    place : str
        The text between the scheme with its colon and the options, such as a path or ``//user:password@host/database``.
    options : mapping of str to str
        The options of the engine that were given after a question mark.
    passed : mapping of str to str
        Other options, which the engine hands to its library unread.
    """

    scheme: str
    place: str
    options: Mapping[str, str] = field(default_factory=dict)
    passed: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, target: str, options: Collection[str], passes_options: bool = False) -> Address:
        """Parse a target.

        Parameters
        ----------
        target : str
            The text.
        options : collection of str
            Names of the engine's options.
        passes_options : bool, default=False
            Whether other options are allowed, as in the addresses of a server.

        Returns
        -------
        Address
            The parts of the target.

        Raises
        ------
        GannetError
            If there is no place, if it has several ``@``, or if an option is unknown or given twice. No message
            contains a password.
        """
        scheme, _, rest = target.partition(":")
        place, _, query = rest.rpartition("?") if "?" in rest else (rest, "", "")
        if not place:
            raise GannetError(f"{scheme}: lacks the place after the colon, as in {scheme}:NAME")
        if place.startswith("//") and place.count("@") > 1:
            raise GannetError(f"{scheme}: write special characters of the password as % codes, such as %40 for @")
        given = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)  # a plus is a plus, as in libpq
        names = [name for name, _ in given]
        own = {name: value for name, value in given if name in options}
        passed = {name: value for name, value in given if name not in options}
        if passed and not passes_options:
            raise unknown_name(f"option of {scheme}:", next(iter(passed)), options)
        if len(set(names)) < len(names):
            raise GannetError(f"an option of {scheme}: is given twice: give each one once")
        return cls(scheme, place, own, passed)

    def __str__(self) -> str:
        """The target without credentials: user, password and the options that only the library reads are left out."""
        place = "//" + self.place[2:].rpartition("@")[2] if self.place.startswith("//") else self.place
        own = "?" + urlencode(self.options, safe="/:") if self.options else ""
        return f"{self.scheme}:{place}{own}"

    def without_secrets(self, text: str) -> str:
        """Return a message of a library without the passwords of the address.

        Parameters
        ----------
        text : str
            The message.

        Returns
        -------
        str
            The message, with ``***`` in place of each password.
        """
        user = self.place.removeprefix("//").rpartition("@")[0]
        secrets = {user.partition(":")[2], *(v for name, v in self.passed.items() if re.search("pass|key|token", name))}
        for secret in sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True):
            text = text.replace(secret, "***")
        return text

    def number(self, name: str, default: int, least: int = 1) -> int:
        """Return the value of an option that is a whole number.

        Parameters
        ----------
        name : str
            Name of the option.
        default : int
            Value if the option is not given.
        least : int, default=1
            Smallest allowed value.

        Returns
        -------
        int
            The number.

        Raises
        ------
        GannetError
            If the value is no whole number, or too small.
        """
        text = self.options.get(name, str(default))
        if not text.isdecimal() or int(text) < least:
            raise GannetError(f"the option {name} of {self} must be a whole number from {least}, not {text!r}")
        return int(text)

    def choice(self, name: str, allowed: Collection[str]) -> str | None:
        """Return the value of an option that has few values.

        Parameters
        ----------
        name : str
            Name of the option.
        allowed : collection of str
            Its values.

        Returns
        -------
        str or None
            The value; None if the option is not given.

        Raises
        ------
        GannetError
            If the value is not allowed; the message suggests the nearest.
        """
        value = self.options.get(name)
        if value is not None and value not in allowed:
            raise unknown_name(f"value of the option {name} of {self.scheme}:", value, allowed)
        return value
