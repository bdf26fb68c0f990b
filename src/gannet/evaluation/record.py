"""The record of one benchmarked cell, and its form in JSON."""

from __future__ import annotations

import dataclasses
import functools
import reprlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from gannet.errors import GannetError
from gannet.hashers.settings import current_settings

_COUNTS = frozenset({"bits", "n_queries", "n_database", "n_train", "distinct_codes", "step"})
_Types = type | tuple[type, ...]
_PLAIN: dict[Any, tuple[_Types, str]] = {
    str: (str, "a text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
}


@dataclass(frozen=True)
class TrainingPoint:
    """One observed training step: see `gannet.training.observe.ObservedStep`.

    ``map`` is MAP of the encoder after the step; None for the steps whose encoder was not scored.
    """

    step: int
    loss: float
    flipped: float
    undone: float
    map: float | None = None


@dataclass(frozen=True)
class Retrieval:
    """The row of an example query, and its nearest items: row in the database, Hamming distance, relevance (0 or 1)."""

    query: int
    found: Sequence[tuple[int, int, int]]


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one cell: one method, fitted once at one code length with one seed, and scored.

    Attributes
    ----------
    method : str
        Name of the method.
    bits : int
        Length of the codes in bits.
    seed : int
        Seed of the method.
    map, map_at, map_best, map_worst, map_min_denominator, precision_at, recall_at
        Fields of `gannet.evaluation.Evaluation`.
    precision_radius_2, radius_precision, radius_recall, n_queries, n_database, n_without_relevant
        Fields of `gannet.evaluation.Evaluation`.
    map_asymmetric : float or None
        Field of `gannet.evaluation.Evaluation`. None in records of older versions.
    fit_seconds : float
        Seconds to fit the method.
    encode_seconds : float
        Seconds to encode queries and database.
    bit_entropy : float
        Mean entropy per bit over the database. 1 means that every bit is on in half of the codes.
    distinct_codes : int
        Number of different codes in the database.
    bits_on : tuple of (float, float) or None
        Lowest and highest share of database codes in which a bit is on. None in records of older versions.
    n_train : int
        Number of items in the training set.
    training : sequence of TrainingPoint or None
        The training curve; None if it was not recorded.
    examples : sequence of Retrieval or None
        A few queries with their nearest items. None in records of older versions.
    settings : mapping of str to value
        All settings of the method.
    protocol : str
        Name of the protocol.
    split : str
        Digest of the split.
    backbone : str
        Name of the image network that made the features.
    float_map : float
        MAP of ranking by cosine similarity of the features.

    Examples
    --------
    >>> from gannet.evaluation.record import Record
    >>> Record.from_json({"method": "itq", "bits": 16})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    gannet.errors.GannetError: a record lacks seed, map, ...
    """

    method: str
    bits: int
    seed: int
    map: float
    map_at: int | None
    fit_seconds: float
    encode_seconds: float
    map_best: float
    map_worst: float
    map_min_denominator: float
    precision_at: Mapping[int, float]
    recall_at: Mapping[int, float]
    precision_radius_2: float
    radius_precision: Sequence[float]
    radius_recall: Sequence[float]
    n_queries: int
    n_database: int
    n_without_relevant: int
    map_asymmetric: float | None = None
    bit_entropy: float
    distinct_codes: int
    bits_on: tuple[float, float] | None = None
    n_train: int
    training: Sequence[TrainingPoint] | None = None
    examples: Sequence[Retrieval] | None = None
    settings: Mapping[str, Any]
    protocol: str
    split: str
    backbone: str
    float_map: float

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values; optional fields that are None are left out.

        Returns
        -------
        dict
            The fields by name, with sequences as lists and the keys of mappings as texts.
        """
        values: dict[str, Any] = _as_json(self)
        return values

    @classmethod
    def from_json(cls, values: Any) -> Record:
        """Read the value that `to_json` returned, in this version or an older one.

        Parameters
        ----------
        values : mapping
            Fields by name. Settings may have the names of older versions; unknown fields are ignored.

        Returns
        -------
        Record
            The record.

        Raises
        ------
        GannetError
            If a field is missing or has another type. The message names the field.
        """
        record: Record = _read(cls, values, "a record")
        for name in ("radius_precision", "radius_recall"):
            if len(getattr(record, name)) != record.bits + 1:
                raise GannetError(f"{name} must be a list of {record.bits + 1:,} values, one per radius")
        for name, value in record.settings.items():
            if not isinstance(value, str | int | float | None):
                raise GannetError(f"the setting {name} must be a text, a number, true, false or null")
            if isinstance(value, int | float):
                _check_range(name, value)
        settings = current_settings(record.settings)
        return dataclasses.replace(record, settings=settings)


@functools.cache
def _fields(kind: type) -> list[tuple[str, Any, bool]]:
    """Return name, type and optionality of each field of a dataclass."""
    types = get_type_hints(kind)
    return [(field.name, types[field.name], field.default is None) for field in dataclasses.fields(kind)]


def _as_json(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = ((name, getattr(value, name), optional) for name, _, optional in _fields(type(value)))
        return {name: _as_json(each) for name, each, optional in values if not (optional and each is None)}
    if isinstance(value, Mapping):
        return {str(key): _as_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return value


def _read(kind: Any, value: Any, name: str) -> Any:
    """Return a JSON value as the type ``kind``; ``name`` is the field, for error messages."""
    origin, inner = get_origin(kind), get_args(kind)
    if NoneType in inner:
        return None if value is None else _read(inner[0], value, name)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _read_object(kind, _checked(value, Mapping, "an object", name), name)
    if origin is Mapping:
        items = _checked(value, Mapping, "an object", name).items()
        return {_read_key(inner[0], key, name): _read(inner[1], each, name) for key, each in items}
    if origin is Sequence:
        return [_read(inner[0], each, name) for each in _checked(value, list, "a list", name)]
    if origin is tuple:
        if len(_checked(value, list, "a list", name)) != len(inner):
            raise GannetError(f"{name} must be a list of {len(inner)} values, not of {len(value)}")
        return tuple(_read(each_kind, each, name) for each_kind, each in zip(inner, value, strict=True))
    return _checked(value, *_PLAIN[kind], name)


def _read_object(kind: Any, values: Mapping[str, Any], name: str) -> Any:
    missing = [key for key, _, optional in _fields(kind) if key not in values and not optional]
    if missing:
        raise GannetError(f"{name} lacks {', '.join(missing)}")
    return kind(**{key: _read(of, values[key], key) for key, of, _ in _fields(kind) if key in values})


def _read_key(kind: Any, key: str, name: str) -> Any:
    """Return a key of a JSON object, which is always a text, as ``kind``."""
    try:
        return kind(key)
    except ValueError:
        raise GannetError(f"{name} must have whole numbers as keys, not {key!r}") from None


def _checked(value: Any, types: _Types, wanted: str, name: str) -> Any:
    if not isinstance(value, types) or isinstance(value, bool):
        raise GannetError(f"{name} must be {wanted}, not {reprlib.repr(value)}")
    if isinstance(value, int | float):
        _check_range(name, value)
    return value


def _check_range(name: str, value: float) -> None:
    """Raise a `GannetError` for NaN, infinity, numbers that no index can hold, and counts of nothing."""
    if not (1 if name in _COUNTS else -sys.maxsize) <= value <= sys.maxsize:
        raise GannetError(f"{name} is out of range")
