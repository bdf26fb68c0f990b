"""Bulk encoding of sources into folders of codes, in one process, several, or on a Ray cluster."""

from gannet.encoding.bulk import Encoding, encode_folder

__all__ = ["Encoding", "encode_folder"]
