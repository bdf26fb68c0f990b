"""Score a file of codes and labels, whatever made it."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, check_codes, n_bytes, pack
from gannet.errors import GannetError
from gannet.evaluation.compat import compat_map, evaluator
from gannet.evaluation.ranking import Evaluation, evaluate

_REQUIRED = ("query_codes", "database_codes", "query_labels", "database_labels")


@dataclass(frozen=True)
class CodesFile:
    """What a file of codes holds: packed codes of both sides, labels as given, the length in bits."""

    query_codes: Codes
    database_codes: Codes
    query_labels: npt.NDArray[Any]
    database_labels: npt.NDArray[Any]
    n_bits: int


def read_codes_file(path: str | Path) -> CodesFile:
    """Read an ``.npz`` with ``query_codes``, ``database_codes``, ``query_labels`` and ``database_labels``.

    Codes are ``(n, n_bits)`` of 0/1 or of -1/+1, or packed ``(n, ceil(n_bits / 8))`` uint8 beside a scalar
    ``bits``; labels are class ids ``(n,)`` or 0/1 rows ``(n, n_labels)``. Nothing is unpickled.
    Raises: `GannetError` that names the array and says what is wrong with it.
    """
    arrays = _load(Path(path))
    missing = [name for name in _REQUIRED if name not in arrays]
    if missing:
        raise GannetError(f"{path} lacks {', '.join(missing)}; it needs {', '.join(_REQUIRED)}")
    queries, database = arrays["query_codes"], arrays["database_codes"]
    for name in _REQUIRED:
        if not arrays[name].size:
            raise GannetError(f"{name} in {path} is empty, shape {arrays[name].shape}: there is nothing to rank")
    for name in _REQUIRED[:2]:
        if arrays[name].ndim != 2 or arrays[name].dtype.kind not in "biuf":
            array = arrays[name]
            raise GannetError(f"{name} must be a matrix of numbers, not {array.dtype} of shape {array.shape}")
    if queries.shape[1] != database.shape[1]:
        raise GannetError(
            f"query_codes have {queries.shape[1]} columns and database_codes {database.shape[1]}: "
            "both must be codes of one length"
        )
    n_bits = _scalar_bits(arrays["bits"]) if "bits" in arrays else queries.shape[1]
    if "bits" in arrays and _is_packed(queries, database, n_bits):
        packed = check_codes(queries, n_bits, "query_codes"), check_codes(database, n_bits, "database_codes")
    else:
        packed = _pack_pair(queries, database, n_bits)
    return CodesFile(*packed, arrays["query_labels"], arrays["database_labels"], n_bits)


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise GannetError(f"{path} holds one array; save {', '.join(_REQUIRED)} with np.savez")
            return {name: archive[name] for name in (*_REQUIRED, "bits") if name in archive}
    except FileNotFoundError:
        raise GannetError(f"{path} does not exist") from None
    except GannetError:
        raise
    except (OSError, EOFError, ValueError, TypeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GannetError(
            f"{path} cannot be read as an .npz of plain arrays (np.savez writes one): {reason}"
        ) from error


def _scalar_bits(bits: npt.NDArray[Any]) -> int:
    if bits.size != 1 or bits.dtype.kind not in "iu" or bits.item() < 1:
        raise GannetError("bits must be one positive whole number, the length of a code")
    return int(bits.item())


def _is_packed(queries: npt.NDArray[Any], database: npt.NDArray[Any], n_bits: int) -> bool:
    if queries.shape[1] != n_bytes(n_bits) or queries.dtype != np.uint8 or database.dtype != np.uint8:
        return False
    # One bit fills one column either way: packed it is 0 or 128, unpacked 0 or 1.
    return n_bits > 1 or max(queries.max(), database.max()) > 1


def _pack_pair(queries: npt.NDArray[Any], database: npt.NDArray[Any], n_bits: int) -> tuple[Codes, Codes]:
    """Pack codes of 0/1 or -1/+1; both sides are looked at together, for one alone may show only +1."""
    width = queries.shape[1]
    if width != n_bits:
        raise GannetError(
            f"codes of {width} columns do not match bits = {n_bits}: {n_bits} columns of 0/1 or -1/+1, "
            f"or {n_bytes(n_bits)} of packed uint8"
        )
    sides = (queries, database)
    for side in sides:
        if not np.isin(side, (-1, 0, 1)).all():
            raise GannetError(
                f"codes hold values from {side.min():g} to {side.max():g}: give 0/1, or -1/+1, "
                "or packed uint8 with a scalar `bits`"
            )
    if any((side == -1).any() for side in sides) and any((side == 0).any() for side in sides):
        raise GannetError(
            "codes mix -1, 0 and 1, as sign(0) gives or as two forms in one file do: "
            "write both sides as -1/+1 (values >= 0 as +1) or both as 0/1"
        )
    return pack(queries > 0), pack(database > 0)


def score(path: str | Path, top: int | None = None, compat: str | None = None) -> dict[str, Any]:
    """Evaluate a file that `read_codes_file` reads; the result is ready for JSON.

    ``top`` is the cutoff of average precision (None: the whole ranking), ``compat`` the name of a published
    evaluator (`gannet.evaluation.compat.EVALUATORS`) to run beside. The keys are the fields of
    `gannet.evaluation.Evaluation`, ``compat`` (``{name: value}``) and ``notes``, sentences on what moves the
    number in this file.
    """
    published = evaluator(compat) if compat is not None else None
    file = read_codes_file(path)
    arrays = (file.query_codes, file.database_codes, file.query_labels, file.database_labels, file.n_bits)
    result = evaluate(*arrays, top=top)
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(result).items()}
    values["notes"] = _notes(result)
    if compat is not None and published is not None:
        values["compat"] = {compat: compat_map(compat, *arrays, top=top)}
        values["notes"].append(f"{compat} ({published.source}): {published.quirks}")
    return values


def _notes(result: Evaluation) -> list[str]:
    """Say how ties, the denominator and the cutoff move this result."""
    notes = [
        f"Items at one distance have no order: depending on it MAP lies between {result.map_worst:.4f} and "
        f"{result.map_best:.4f}; map {result.map:.4f} is the mean over all such orders."
    ]
    if result.map_at is None:
        notes.append("MAP is over the whole ranking, where every denominator is the number of relevant items.")
    else:
        notes.append(
            f"MAP is over the {result.map_at} nearest of {result.n_database}: it divides by the relevant "
            f"items found there. Divided by min({result.map_at}, all relevant) it is "
            f"{result.map_min_denominator:.4f}. "
            "MAP at different cutoffs does not compare."
        )
    if result.n_without_relevant:
        notes.append(
            f"{result.n_without_relevant} of {result.n_queries} queries have no relevant item in the "
            "database; each counts 0 in every mean."
        )
    return notes
