"""Fill in the templates: every value is escaped, and invisible characters are spelled out."""

from __future__ import annotations

import unicodedata
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

#: The style sheet of every page.
STYLE_SHEET = Path(__file__).parent / "templates" / "style.css"

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"


def render(template: str, package: str = "gannet.pages", **values: Any) -> str:
    """Return a template, filled in with ``values``.

    The template is in the folder ``templates`` of ``package``, and may include templates of ``gannet.pages``.
    """
    return _environment(package).get_template(template).render(values)


@cache
def _environment(package: str) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(name) for name in dict.fromkeys((package, "gannet.pages"))]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": "{:,}".format, "duration": _duration}
    return environment


def _visible(value: object) -> object:
    r"""Spell out characters that a page cannot hold or show, as in ``\udcff`` and ``\n``.

    These are control characters, the surrogates that stand for bytes of file names that are not UTF-8, and the marks
    that reverse the direction of text, with which one name can imitate another. The environment passes every value of
    every template through this function before it escapes it.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if unicodedata.category(char) in _HIDDEN and char not in _JOINERS
        else char
        for char in value
    )


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
