"""Files at URLs, such as ``s3://bucket/photos.tar``, read through the drivers of fsspec."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import time
from pathlib import Path
from typing import Any, BinaryIO

from gannet.data.base import exists, is_file, reading
from gannet.errors import GannetError
from gannet.support.libraries import load

_URL = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_COMMON = frozenset({"s3", "gs", "gcs", "az", "abfs", "http", "https", "hf", "file", "memory", "ftp", "sftp"})
_FILES_KEPT = 64
_SECONDS_KEPT = 10
"""A version that was looked up is taken as current for at most so long."""


def is_url(text: str) -> bool:
    """Return whether a text is a URL of a kind that fsspec knows; nothing is looked up there."""
    match = _URL.match(text)
    return match is not None and (match[1].lower() in _COMMON or match[1].lower() in _schemes())


def may_be_file(text: str) -> bool:
    """Return whether a text is the path of a file, or a URL, of which only the name is looked at."""
    return is_url(text) or is_file(text)


def open_binary(text: str) -> BinaryIO:
    """Open a file, or a file at a URL, which is read in blocks; errors are those of the driver."""
    if not is_url(text):
        return Path(text).open("rb")
    system, path = _located(text)
    opened: BinaryIO = system.open(path, "rb")
    return opened


def read_url(url: str, start: int | None = None, stop: int | None = None) -> bytes:
    """Return the content of a file at a URL, or the bytes from ``start`` to before ``stop``.

    Raises a `GannetError`, whose message is the reason alone, if it cannot be read.
    """
    with reading("cannot be read"):
        system, path = _located(url)
        return bytes(system.cat_file(path, start=start, end=stop))


def read_range(text: str, start: int, length: int) -> bytes:
    """Return some bytes of a file or of a file at a URL; fewer, if it ends before."""
    if is_url(text):
        return read_url(text, start, start + length)
    with Path(text).open("rb") as file:
        file.seek(start)
        return file.read(length)


def list_url(url: str) -> list[tuple[str, int | None]]:
    """Return the paths, relative to a URL, of all files below it, and their sizes as far as they are known."""
    with reading("cannot be listed", url):
        system, root = _located(url)
        found = system.find(root, detail=True)
        prefix = root.rstrip("/") + "/"
        return sorted((path.removeprefix(prefix), info.get("size")) for path, info in found.items())


def version(text: str) -> tuple[Any, ...]:
    """Return what changes when a file does: size and time, or size and ETag at a URL; empty for any other text."""
    if is_url(text):
        return _url_version(text, int(time.monotonic()) // _SECONDS_KEPT)
    if not exists(text):
        return ()
    info = os.stat(text)  # noqa: PTH116 - any text
    return info.st_size, info.st_mtime_ns


@functools.lru_cache(maxsize=_FILES_KEPT)
def _url_version(url: str, now: int) -> tuple[Any, ...]:
    with reading("cannot be read", url):
        system, path = _located(url)
        info = system.info(path)
        marks = ("size", "ETag", "etag", "LastModified", "mtime", "updated", "created")
        return tuple(str(info[mark]) for mark in marks if info.get(mark) is not None)


@functools.cache
def _schemes() -> frozenset[str]:
    if importlib.util.find_spec("fsspec") is None:
        return frozenset()
    return frozenset(load("fsspec", "fsspec", "reading URLs").available_protocols())


def _located(url: str) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it."""
    load("fsspec", "fsspec", "reading URLs")
    core = load("fsspec.core", "fsspec", "reading URLs")
    try:
        system, path = core.url_to_fs(url)
    except ImportError as error:
        scheme = url.partition("://")[0]
        raise GannetError(f"reading {scheme}:// needs a driver of fsspec that is not installed: {error}") from None
    return system, str(path)
