"""Labels, and the relevance that follows from them: a shared class, or at least one shared label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.codes import as_words
from gannet.errors import GannetError


@dataclass(frozen=True)
class Relevance:
    """Labels of queries and database as uint64 words ``(n_words, n)``, from which relevance is computed.

    With ``multi_label``, the words are bit masks, and an item is relevant to a query if their masks share a bit.
    Otherwise there is one word, the number of the class, and an item is relevant if it is equal.
    """

    queries: npt.NDArray[np.uint64]
    database: npt.NDArray[np.uint64]
    multi_label: bool

    def rows(self, queries: slice) -> npt.NDArray[np.bool_]:
        """Return the relevance of every database item to a slice of the queries, shape ``(q, m)``."""
        left, right = self.queries[:, queries, None], self.database[:, None, :]
        relevant = ((left & right) != 0).any(axis=0) if self.multi_label else left[0] == right[0]
        return np.asarray(relevant, np.bool_)


def relevance(query_labels: npt.ArrayLike, database_labels: npt.ArrayLike) -> Relevance:
    """Return the relevance that follows from labels.

    Labels are class ids ``(n,)``, numbers or names, or 0/1 rows ``(n, n_labels)``. Raises a `GannetError` if they are
    anything else, or if the two sides are of different kinds.
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
                "both need one column per label, in the same order"
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
    return as_words(np.packbits(rows.astype(np.bool_), axis=1)).T
