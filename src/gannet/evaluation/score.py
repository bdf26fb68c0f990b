"""Scores of a file of codes and labels, which any program can have written."""

from __future__ import annotations

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
    """The contents of a file of codes, with packed codes and with labels as stored."""

    query_codes: Codes
    database_codes: Codes
    query_labels: npt.NDArray[Any]
    database_labels: npt.NDArray[Any]
    n_bits: int
    query_values: npt.NDArray[Any] | None = None


def read_codes_file(path: str | Path) -> CodesFile:
    """Read an ``.npz`` file with ``query_codes``, ``database_codes``, ``query_labels`` and ``database_labels``.

    Codes are 0/1 or -1/+1 of shape ``(n, n_bits)``, or packed uint8 of shape ``(n, ceil(n_bits / 8))`` with a scalar
    ``bits``. Labels are class ids ``(n,)`` or 0/1 rows ``(n, n_labels)``. ``query_values (n, n_bits)``, the real values
    of the queries, are optional. Pickled objects are refused. A `GannetError`
    names the array that is missing or malformed.
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
    return CodesFile(*packed, arrays["query_labels"], arrays["database_labels"], n_bits, arrays.get("query_values"))


def _load(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise GannetError(f"{path} holds one array; save {', '.join(_REQUIRED)} with np.savez")
            return {name: archive[name] for name in (*_REQUIRED, "bits", "query_values") if name in archive}
    except FileNotFoundError:
        raise GannetError(f"{path} does not exist") from None
    except GannetError:
        raise
    except Exception as error:  # archives and headers are damaged, encrypted or compressed in many ways
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
    # A code of one bit has one column in both forms; packed it is 0 or 128, unpacked 0 or 1.
    return n_bits > 1 or max(queries.max(), database.max()) > 1


def _pack_pair(queries: npt.NDArray[Any], database: npt.NDArray[Any], n_bits: int) -> tuple[Codes, Codes]:
    """Pack codes of 0/1 or -1/+1. The form is decided from both sides, because one alone may hold nothing but +1."""
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
            "codes mix -1, 0 and 1, because of sign(0) or because the two sides have different forms: "
            "write both sides as -1/+1 (values >= 0 as +1) or both as 0/1"
        )
    return pack(queries > 0), pack(database > 0)


def score(path: str | Path, top: int | None = None, compat: str | None = None) -> dict[str, Any]:
    """Evaluate the codes in a file.

    Parameters
    ----------
    path : str or Path
        An ``.npz`` file with the arrays ``query_codes`` and ``database_codes``, 0/1 or -1/+1 of shape ``(n, n_bits)``,
        or packed uint8 of shape ``(n, ceil(n_bits / 8))`` with a scalar ``bits``; and ``query_labels`` and
        ``database_labels``, class ids ``(n,)`` or 0/1 rows ``(n, n_labels)``. With ``query_values``, the real values
        of the queries ``(n, n_bits)``, the file is also ranked by asymmetric score.
    top : int, optional
        Cutoff of average precision. By default, the whole database is ranked.
    compat : str, optional
        Name of a published evaluator to run too, a key of `gannet.evaluation.compat.EVALUATORS`.

    Returns
    -------
    dict
        The fields of `gannet.evaluation.Evaluation` as JSON values; ``notes``, a list of sentences on how ties, the
        cutoff and the denominator change the value; and with ``compat`` the value of that evaluator by its name.

    Raises
    ------
    GannetError
        If the file cannot be read, an array is missing or malformed, or the evaluator is unknown.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gannet.evaluation.score import score
    >>> codes = {"query_codes": [[0, 1]], "database_codes": [[0, 1], [1, 0]]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/codes.npz", **codes, query_labels=[3], database_labels=[3, 5])
    ...     score(f"{folder}/codes.npz")["map"]
    1.0
    """
    published = evaluator(compat) if compat is not None else None
    file = read_codes_file(path)
    arrays = (file.query_codes, file.database_codes, file.query_labels, file.database_labels, file.n_bits)
    result = evaluate(*arrays, top=top, query_values=file.query_values)
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(result).items()}
    values["notes"] = _notes(result)
    if compat is not None and published is not None:
        values["compat"] = {compat: compat_map(compat, *arrays, top=top)}
        values["notes"].append(f"{compat} ({published.source}): {published.quirks}")
    return values


def _notes(result: Evaluation) -> list[str]:
    """Return sentences on how ties, the denominator and the cutoff change the result."""
    notes = [
        f"Items at equal distance have no order: depending on the order, MAP is between {result.map_worst:.4f} and "
        f"{result.map_best:.4f}; map {result.map:.4f} is the mean over all orders."
    ]
    if result.map_at is None:
        notes.append("MAP is over the whole ranking, so the denominator is the number of relevant items.")
    else:
        notes.append(
            f"MAP is over the {result.map_at} nearest of {result.n_database}; the denominator is the number of "
            f"relevant items among them. With the denominator min({result.map_at}, all relevant) it is "
            f"{result.map_min_denominator:.4f}. MAP values at different cutoffs cannot be compared."
        )
    if result.n_without_relevant:
        notes.append(
            f"{result.n_without_relevant} of {result.n_queries} queries have no relevant item in the "
            "database; each counts as 0 in every mean."
        )
    return notes
