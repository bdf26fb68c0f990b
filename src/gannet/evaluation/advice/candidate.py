"""One way to store and search items, with what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """One way to store and search items: what it costs, and how well it finds the nearest items by cosine.

    Recall and MAP are those of the items held out, searched among the other items of the sample.

    Attributes
    ----------
    method : str
        Name of a method, or of an alternative: ``signs``, ``centered signs``, ``faiss PQ``, ``faiss OPQ``, ``faiss
        RaBitQ`` or ``floats``.
    bits : int or None
        Length of the codes; None for floats.
    order : {"hamming", "asymmetric", "estimate", "rerank", "cosine"}
        What orders the results. "asymmetric" is the score of the 1,000 nearest by Hamming distance, "estimate" the
        distance that faiss estimates from its codes, "rerank" the cosine of the kept floats of the 200 best of those,
        and "cosine" the cosine of all floats.
    code_bytes : int
        Size of the code of an item, or of its floats if it has no code.
    bytes_per_item : int
        Size of everything that is stored of an item: with "rerank", also its floats in half precision.
    recall_at_1, recall_at_10, recall_at_100 : float
        Share of the queries whose nearest item by cosine is among the first 1, 10 and 100 results.
    recall_at_10_in_100 : float
        Share of the 10 nearest items by cosine that are among the first 100 results.
    map : float or None
        Mean average precision of the first 1,000 results by class; None without labels.
    fit_seconds, encode_seconds : float or None
        Time to learn from the sample, and to encode one item; None where there is nothing to learn or to encode.
    search_seconds : float
        Time of one query in the collection that is planned for. The part that grows with the collection is scaled
        linearly from a smaller scan.
    """

    method: str
    bits: int | None
    order: str
    code_bytes: int
    bytes_per_item: int
    recall_at_1: float
    recall_at_10: float
    recall_at_100: float
    recall_at_10_in_100: float
    map: float | None
    fit_seconds: float | None
    encode_seconds: float | None
    search_seconds: float

    @property
    def keeps_floats(self) -> bool:
        """Whether the floats of the items are stored."""
        return self.order in ("rerank", "cosine")

    @property
    def is_of_faiss(self) -> bool:
        """Whether the codes are made and searched by faiss."""
        return self.method.startswith("faiss ")
