"""Indexes of packed codes held in memory: the exact Hamming index and its kernels. They know no file."""

from gannet.index.hamming import HammingIndex

__all__ = ["HammingIndex"]
