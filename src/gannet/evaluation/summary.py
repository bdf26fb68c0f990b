"""Summaries of records: means over seeds, sweeps of a setting, and the gain from gradient attention."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gannet.errors import GannetError
from gannet.evaluation import published
from gannet.evaluation.record import Record
from gannet.hashers import get_hasher
from gannet.hashers.settings import defaults

#: The method that the tables give ratios to.
BASELINE = "itq"

Groups = Mapping[tuple[str, int], list[Record]]
"""The records of all seeds, by variant and code length."""


@dataclass(frozen=True)
class Figure:
    """Mean and sample standard deviation over seeds; the deviation of a single seed is None."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Return the figure of one value per seed."""
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    @classmethod
    def of_map(cls, records: Sequence[Record]) -> Figure:
        """Return the figure of MAP by Hamming distance."""
        return cls.of([record.map for record in records])

    @classmethod
    def of_map_asymmetric(cls, records: Sequence[Record]) -> Figure | None:
        """Return the figure of MAP by asymmetric score, or None if a record has none."""
        values = [record.map_asymmetric for record in records if record.map_asymmetric is not None]
        return cls.of(values) if len(values) == len(records) else None

    def text(self, form: str = ".4f") -> str:
        """Return "mean ± deviation"."""
        mean = format(self.mean, form)
        return mean if self.deviation is None else f"{mean} ± {format(self.deviation, form)}"


@dataclass(frozen=True)
class SweptMethod:
    """MAP of a method at several values of one setting, with all other settings equal."""

    title: str
    setting: str
    measured: Mapping[Any, Mapping[int, Figure]]
    """MAP as value -> code length -> figure, with the values in order."""
    published: Mapping[float, Mapping[int, float]]
    """MAP in the paper as value -> code length -> MAP; empty if the paper has no such sweep."""
    variants: frozenset[str]
    """Names of the variants, one per value."""

    @property
    def bits(self) -> list[int]:
        """The measured code lengths, in order."""
        return sorted({bits for of in self.measured.values() for bits in of})


@dataclass(frozen=True)
class AttentionGain:
    """MAP of a method with gradient attention minus MAP without it, as code length -> difference."""

    plain: str
    attending: str
    measured: Mapping[int, float]
    published: Mapping[int, float]
    """The differences in the paper."""


def variant(record: Record) -> str:
    """Return the name of the method with the settings that differ from their defaults, or all if those are unknown."""
    return _title(record.method, record.settings)


def grouped(records: Sequence[Record]) -> Groups:
    """Group the records of all seeds by variant and code length, in the order of the records."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((variant(record), record.bits), []).append(record)
    return groups


def lengths(groups: Groups) -> list[int]:
    """Return the code lengths that occur, in order."""
    return sorted({bits for _, bits in groups})


def variants(groups: Groups) -> list[str]:
    """Return the variants that occur, in the order of the records."""
    return list(dict.fromkeys(name for name, _ in groups))


def baseline(groups: Groups) -> dict[int, float]:
    """Return the mean MAP of ITQ as code length -> MAP, for the lengths at which it was run and found anything."""
    means = {bits: Figure.of_map(records).mean for (name, bits), records in groups.items() if name == BASELINE}
    return {bits: mean for bits, mean in means.items() if mean > 0}


def sweeps(records: Sequence[Record], protocol: str) -> list[SweptMethod]:
    """Return every setting that a method was run with at several values, with the paper's figures for its sweep."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        for setting in record.settings:
            others = {key: value for key, value in record.settings.items() if key != setting}
            found.setdefault((record.method, setting, json.dumps(others, sort_keys=True)), []).append(record)
    return [
        _swept(method, setting, json.loads(others), mine, protocol)
        for (method, setting, others), mine in found.items()
        if len({json.dumps(record.settings[setting]) for record in mine}) > 1
    ]


def attention_gains(records: Sequence[Record], protocol: str) -> list[AttentionGain]:
    """Return the gain of every method that was run with and without attention at its default settings.

    Two methods differ only in attention if they are named ``X`` and ``X-plain``, or ``X+ga`` and ``X``.
    """
    groups, printed = grouped(records), published.published(protocol)
    gains = []
    names = list(dict.fromkeys(name for name, _ in groups))
    for plain, attending in [pair for name in names for pair in ((f"{name}-plain", name), (name, f"{name}+ga"))]:
        both = [bits for bits in lengths(groups) if (plain, bits) in groups and (attending, bits) in groups]
        measured = {
            bits: Figure.of_map(groups[attending, bits]).mean - Figure.of_map(groups[plain, bits]).mean for bits in both
        }
        of_paper = {
            bits: value - printed[plain][bits]
            for bits, value in printed.get(attending, {}).items()
            if bits in printed.get(plain, {})
        }
        if measured:
            gains.append(AttentionGain(plain, attending, measured, of_paper))
    return gains


def _swept(
    method: str, setting: str, others: Mapping[str, Any], records: Sequence[Record], protocol: str
) -> SweptMethod:
    by_value: dict[Any, dict[int, list[Record]]] = {}
    for record in sorted(records, key=lambda record: _rank(record.settings[setting])):
        by_value.setdefault(record.settings[setting], {}).setdefault(record.bits, []).append(record)
    measured = {
        value: {bits: Figure.of_map(seeds) for bits, seeds in sorted(of.items())} for value, of in by_value.items()
    }
    has_paper = (method, setting) == published.SWEPT
    printed = published.published_sweep(protocol) if has_paper else {}
    return SweptMethod(_title(method, others), setting, measured, printed, frozenset(map(variant, records)))


def _title(method: str, settings: Mapping[str, Any]) -> str:
    known = _defaults(method)
    changed = [f"{key}={value}" for key, value in settings.items() if known is None or known.get(key, value) != value]
    return " ".join([method, *changed])


@functools.cache
def _defaults(method: str) -> Mapping[str, Any] | None:
    """Return the default settings of a method, or None if the distribution that brought it is no longer installed."""
    try:
        return defaults(get_hasher(method))
    except GannetError:
        return None


def _rank(value: Any) -> tuple[bool, float, str]:
    """Return a sort key that orders numbers by size, and other values after them by their text."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return not is_number, float(value) if is_number else 0.0, str(value)
