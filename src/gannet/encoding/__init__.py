"""Bulk encoding of sources into folders of codes."""

from gannet.encoding.bulk import Encoding, encode_folder

__all__ = ["Encoding", "encode_folder"]
