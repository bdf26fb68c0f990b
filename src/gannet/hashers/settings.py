"""Settings by name and as text, for the command line and for stored records."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from gannet.codes import n_bytes
from gannet.errors import GannetError, unknown_name
from gannet.hashers import get_hasher
from gannet.training.fine_tuning import FineTuning

if TYPE_CHECKING:
    from gannet.hashers.base import Hasher

_OWN_OPTIONS = ("n_bits", "random_state")

RENAMED_SETTINGS = {"n_neighbours": "n_neighbors", "n_coordinates": "n_components"}
"""Names of settings in models and benchmark records that earlier versions wrote, and the current names."""


def current_settings(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return stored settings under their current names."""
    return {RENAMED_SETTINGS.get(name, name): value for name, value in stored.items()}


def defaults(hasher: type[Hasher]) -> dict[str, Any]:
    """Return a method's settings with their defaults, without the length of the codes and the seed."""
    parameters = inspect.signature(hasher).parameters
    return {name: p.default for name, p in parameters.items() if name not in _OWN_OPTIONS}


def make_hasher(name: str, n_bits: int, seed: int, settings: Mapping[str, str]) -> Hasher:
    """Return an unfitted hasher by its name, with settings that are converted from text to the type of their default.

    Raises a `GannetError` if the method or a setting is unknown (the message suggests the nearest name), if a text has
    the wrong type, or for less than one bit.
    """
    hasher = get_hasher(name)
    n_bytes(n_bits)
    known = defaults(hasher)
    values: dict[str, Any] = {}
    for key, text in settings.items():
        if key not in known:
            if key == "gradient_attention":
                raise GannetError(f"{name} does not learn from pairs, so gradient attention has no place in it")
            raise unknown_name(f"setting of {name}", key, known) if known else GannetError(f"{name} has no settings")
        values[key] = _read(key, text, known[key])
    return hasher(n_bits, random_state=seed, **values)


def split_fine_tuning(settings: Mapping[str, str], wanted: bool) -> tuple[FineTuning | None, dict[str, str]]:
    """Return the settings of training the backbone among the texts, and the texts of the other settings.

    Raises a `GannetError` if such a setting is given although the backbone is not trained, or if a text has the wrong
    type.
    """
    known = {field.name: field.default for field in fields(FineTuning)}
    ours = {key: _read(key, text, known[key]) for key, text in settings.items() if key in known}
    if ours and not wanted:
        raise GannetError(f"{next(iter(ours))} is a setting of training the image network: add --train-backbone")
    return FineTuning(**ours) if wanted else None, {key: settings[key] for key in settings if key not in known}


def _read(key: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    if isinstance(default, bool) or default is None:
        choices = {"true": True, "false": False}
        if text.lower() not in choices:
            raise GannetError(f"{key} must be true or false, not {text!r}")
        return choices[text.lower()]
    kind = type(default)
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = "a whole number" if kind is int else "a number"
        raise GannetError(f"{key} must be {what}, not {text!r}")
    return value
