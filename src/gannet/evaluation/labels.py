"""What makes a database item relevant to a query: the same class, or at least one label in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError


@dataclass(frozen=True)
class Relevance:
    """Labels of both sides as 64-bit words, words first: queries ``(w, q)``, database ``(w, m)`` uint64.

    With ``multi_label`` the words are bit masks and an item is relevant if any word shares a bit with the
    query's; otherwise there is one word, the number of the class, and relevant means equal.
    """

    queries: npt.NDArray[np.uint64]
    database: npt.NDArray[np.uint64]
    multi_label: bool

    def rows(self, queries: slice) -> npt.NDArray[np.bool_]:
        """Return the relevance ``(q, m)`` of every database item to the queries of a slice."""
        left, right = self.queries[:, queries, None], self.database[:, None, :]
        relevant = ((left & right) != 0).any(axis=0) if self.multi_label else left[0] == right[0]
        return np.asarray(relevant, np.bool_)


def relevance(query_labels: npt.ArrayLike, database_labels: npt.ArrayLike) -> Relevance:
    """Read class ids ``(n,)``, numbers or names, or 0/1 rows ``(n, n_labels)`` for several labels an item.

    Raises: `GannetError` if the two sides are of different kinds or hold anything else.
    """
    queries = _checked(query_labels, "query_labels")
    database = _checked(database_labels, "database_labels")
    if queries.ndim != database.ndim:
        raise GannetError(
            f"query_labels {queries.shape} and database_labels {database.shape} are of different kinds: "
            "give class ids (n,) for both, or 0/1 rows (n, n_labels) for both"
        )
    if queries.ndim == 2:
        if queries.shape[1] != database.shape[1]:
            raise GannetError(
                f"query_labels have {queries.shape[1]} columns and database_labels {database.shape[1]}: "
                "both need one column a label, in one order"
            )
        return Relevance(_bit_masks(queries), _bit_masks(database), multi_label=True)
    if (queries.dtype.kind in "US") != (database.dtype.kind in "US"):
        raise GannetError(
            f"query_labels are {queries.dtype} and database_labels {database.dtype}: "
            "name the classes the same way in both"
        )
    _, classes = np.unique(np.concatenate([queries, database]), return_inverse=True)
    words = classes.astype(np.uint64)[None, :]
    return Relevance(words[:, : len(queries)], words[:, len(queries) :], multi_label=False)


def _checked(labels: npt.ArrayLike, name: str) -> npt.NDArray[Any]:
    array = np.asarray(labels)
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufUS":
        raise GannetError(
            f"{name} must be class ids (n,) or 0/1 rows (n, n_labels), not {array.dtype} of shape {array.shape}"
        )
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise GannetError(f"{name} hold NaN: give every item a class id")
    if array.ndim == 2 and not np.isin(array, (0, 1)).all():
        raise GannetError(f"{name} of shape {array.shape} must hold only 0 and 1; class ids have shape (n,)")
    return array


def _bit_masks(rows: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    return as_words(np.packbits(rows.astype(np.bool_), axis=1))


def as_words(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Return packed bytes ``(n, width)`` as contiguous 64-bit words ``(ceil(width / 8), n)``, zero-padded."""
    n, width = packed.shape
    padded = np.zeros((n, -(-width // 8) * 8), np.uint8)
    padded[:, :width] = packed
    return np.ascontiguousarray(padded.view(np.uint64).T)
