"""Sweeps: running methods at several values of one setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from gannet.errors import GannetError
from gannet.evaluation.benchmark import Cell, make_cells

_MOST = 1000
_LARGEST = 10**9
_FORM = "SETTING=START:STOP:STEP, such as similarity_threshold=0:0.9:0.1, or SETTING=VALUE,VALUE,..."


@dataclass(frozen=True)
class Sweep:
    """A setting and its values, as texts."""

    setting: str
    values: tuple[str, ...]


def read_sweep(text: str) -> Sweep:
    """Read a sweep from ``SETTING=START:STOP:STEP``, with the stop included, or ``SETTING=VALUE,VALUE,...``.

    Raises a `GannetError` if the text is neither, if the step does not lead from start to stop, or if there are more
    than 1,000 values.
    """
    setting, _, given = text.partition("=")
    values = _range(text, given) if ":" in given else [value.strip() for value in given.split(",")]
    if not setting or not all(values):
        raise GannetError(f"--sweep takes {_FORM}; not {text!r}")
    if len(values) > _MOST:
        raise GannetError(f"--sweep takes at most {_MOST:,} values: take a larger step")
    return Sweep(setting, tuple(dict.fromkeys(values)))


def sweep_cells(
    methods: Sequence[str], bits: Sequence[int], seeds: int, settings: Mapping[str, str], sweep: Sweep
) -> list[Cell]:
    """Return the cells at every value of a sweep; a method without the setting is run once, for comparison.

    The other parameters and the errors are those of `gannet.evaluation.benchmark.make_cells`. A `GannetError` is also
    raised if the setting is among ``settings``.
    """
    if sweep.setting in settings:
        raise GannetError(f"{sweep.setting} is both set and swept: leave out --set {sweep.setting}=...")
    cells = {}
    for value in sweep.values:
        for cell in make_cells(methods, bits, seeds, {**settings, sweep.setting: value}):
            cells[cell.method, cell.bits, cell.seed, cell.settings.get(sweep.setting)] = cell
    return list(cells.values())


def _range(text: str, given: str) -> list[str]:
    # Decimals, because repeatedly adding 0.1 in binary misses 0.9.
    try:
        start, stop, step = (Decimal(part.strip()) for part in given.split(":"))
    except (ArithmeticError, ValueError):
        raise GannetError(f"--sweep takes {_FORM}; not {text!r}") from None
    sizes = [abs(number) for number in (start, stop, step)]
    if not (all(size.is_finite() for size in sizes) and max(sizes) <= _LARGEST and step > 0 and start <= stop):
        raise GannetError(
            f"--sweep goes up from START to STOP, at most {_LARGEST:,}, by a STEP above 0; {given!r} does not"
        )
    # One value more than allowed is enough to refuse the range.
    return [format(start + i * step, "f") for i in range(_MOST + 1) if start + i * step <= stop]
