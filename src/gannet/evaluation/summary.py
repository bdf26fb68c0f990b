"""Records of finished cells brought together: mean and deviation over seeds, sweeps, the effect of attention."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gannet.evaluation import published
from gannet.evaluation.benchmark import Record
from gannet.hashers import all_hashers
from gannet.hashers.settings import defaults

#: The method that others are compared with.
BASELINE = "itq"

Groups = Mapping[tuple[str, int], list[Record]]
"""The records of all seeds by variant and number of bits."""


@dataclass(frozen=True)
class Figure:
    """The mean over seeds; ``deviation`` is the standard deviation, None for one seed."""

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, records: Sequence[Record], key: str = "map") -> Figure:
        """Return the figure of one entry of all ``records``."""
        values = [record[key] for record in records]
        return cls(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None)

    def text(self, form: str = ".4f") -> str:
        """Return "mean ± deviation"."""
        mean = format(self.mean, form)
        return mean if self.deviation is None else f"{mean} ± {format(self.deviation, form)}"


@dataclass(frozen=True)
class SweptMethod:
    """What a method reached by the values of one setting, all others equal."""

    title: str
    setting: str
    measured: Mapping[Any, Mapping[int, Figure]]
    """MAP as value -> bits -> figure, values in order."""
    published: Mapping[float, Mapping[int, float]]
    """The paper's MAP as value -> bits -> figure; empty where it has none."""
    variants: frozenset[str]
    """The names of the variants that the values make."""

    @property
    def bits(self) -> list[int]:
        """The numbers of bits that were measured, in order."""
        return sorted({bits for of in self.measured.values() for bits in of})


@dataclass(frozen=True)
class AttentionGain:
    """How much MAP gradient attention adds to a method, as bits -> difference, here and in the paper."""

    plain: str
    attending: str
    measured: Mapping[int, float]
    published: Mapping[int, float]


def variant(record: Record) -> str:
    """Return the method's name and those of its settings that are not at their default."""
    return _title(record["method"], record["settings"])


def grouped(records: Sequence[Record]) -> Groups:
    """Return the records of all seeds by variant and number of bits, in the order of the records."""
    groups: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        groups.setdefault((variant(record), record["bits"]), []).append(record)
    return groups


def lengths(groups: Groups) -> list[int]:
    """Return the numbers of bits that occur, in order."""
    return sorted({bits for _, bits in groups})


def variants(groups: Groups) -> list[str]:
    """Return the variants that occur, in the order of the records."""
    return list(dict.fromkeys(name for name, _ in groups))


def baseline(groups: Groups) -> dict[int, float]:
    """Return the mean MAP of ITQ as bits -> value, where it was run."""
    return {bits: Figure.of(records).mean for (name, bits), records in groups.items() if name == BASELINE}


def sweeps(records: Sequence[Record], protocol: str) -> list[SweptMethod]:
    """Return every setting of a method that was run with several values, beside the paper's sweep where it has one."""
    found: dict[tuple[str, str, str], list[Record]] = {}
    for record in records:
        for setting in record["settings"]:
            others = {key: value for key, value in record["settings"].items() if key != setting}
            found.setdefault((record["method"], setting, json.dumps(others, sort_keys=True)), []).append(record)
    return [
        _swept(method, setting, json.loads(others), mine, protocol)
        for (method, setting, others), mine in found.items()
        if len({json.dumps(record["settings"][setting]) for record in mine}) > 1
    ]


def attention_gains(records: Sequence[Record], protocol: str) -> list[AttentionGain]:
    """Return what attention adds to methods that were run with and without it, all settings at their default.

    Two methods are the same but for attention where one is named after the other: ``X`` and ``X-plain``, or ``X+ga``
    and ``X``.
    """
    groups, printed = grouped(records), published.published(protocol)
    gains = []
    names = list(dict.fromkeys(name for name, _ in groups))
    for plain, attending in [pair for name in names for pair in ((f"{name}-plain", name), (name, f"{name}+ga"))]:
        both = [bits for bits in lengths(groups) if (plain, bits) in groups and (attending, bits) in groups]
        measured = {
            bits: Figure.of(groups[attending, bits]).mean - Figure.of(groups[plain, bits]).mean for bits in both
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
    for record in sorted(records, key=lambda record: _rank(record["settings"][setting])):
        by_value.setdefault(record["settings"][setting], {}).setdefault(record["bits"], []).append(record)
    measured = {value: {bits: Figure.of(seeds) for bits, seeds in sorted(of.items())} for value, of in by_value.items()}
    has_paper = (method, setting) == published.SWEPT
    printed = published.published_sweep(protocol) if has_paper else {}
    return SweptMethod(_title(method, others), setting, measured, printed, frozenset(map(variant, records)))


def _title(method: str, settings: Mapping[str, Any]) -> str:
    hasher = all_hashers().get(method)
    known = defaults(hasher) if hasher else {}
    changed = [f"{key}={value}" for key, value in settings.items() if known.get(key, value) != value]
    return " ".join([method, *changed])


def _rank(value: Any) -> tuple[bool, float, str]:
    """Order numbers by size, and everything else after them by name."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return not is_number, float(value) if is_number else 0.0, str(value)
