"""Sweeps: one setting of the methods, at each of several values."""

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
    """A setting and the values it takes, as texts."""

    setting: str
    values: tuple[str, ...]


def read_sweep(text: str) -> Sweep:
    """Return the sweep that ``SETTING=START:STOP:STEP``, with the stop, or ``SETTING=VALUE,VALUE,...`` says.

    Raises: `GannetError` if the text is neither, if the step does not lead from start to stop, or if it takes more
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
    """Return the cells of a run at every value; a method without the setting is run once, to compare with.

    Parameters and errors are those of `make_cells`; the setting may not be among ``settings`` too.
    """
    if sweep.setting in settings:
        raise GannetError(f"{sweep.setting} is both set and swept: leave out --set {sweep.setting}=...")
    cells = {}
    for value in sweep.values:
        for cell in make_cells(methods, bits, seeds, {**settings, sweep.setting: value}):
            cells[cell.method, cell.bits, cell.seed, cell.settings.get(sweep.setting)] = cell
    return list(cells.values())


def _range(text: str, given: str) -> list[str]:
    # As decimals: in binary, 0.9 would be missed by adding 0.1.
    try:
        start, stop, step = (Decimal(part.strip()) for part in given.split(":"))
    except (ArithmeticError, ValueError):
        raise GannetError(f"--sweep takes {_FORM}; not {text!r}") from None
    sizes = [abs(number) for number in (start, stop, step)]
    if not (all(size.is_finite() for size in sizes) and max(sizes) <= _LARGEST and step > 0 and start <= stop):
        raise GannetError(
            f"--sweep goes up from START to STOP, at most {_LARGEST:,}, by a STEP above 0; {given!r} does not"
        )
    # One more than is allowed is enough to refuse a range without end.
    return [format(start + i * step, "f") for i in range(_MOST + 1) if start + i * step <= stop]
