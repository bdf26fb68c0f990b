"""Exact search of packed codes by Hamming distance, in memory and in a collection file."""

from gannet.search.collection import Collection
from gannet.search.index import HammingIndex

__all__ = ["Collection", "HammingIndex"]
