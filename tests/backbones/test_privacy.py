"""Encoding an image contacts nobody and leaves nothing outside Gannet's own cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("openvino")

PROGRAM = """
import socket, sys

def refuse(*arguments, **options):
    print("CONNECTS", arguments, file=sys.stderr)
    raise OSError("no network in this test")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse

import numpy as np
from gannet import ITQ, ImageHasher

pictures = list(np.random.default_rng(0).integers(0, 256, (12, 40, 40, 3), dtype=np.uint8))
ImageHasher(ITQ(8)).fit(pictures).encode(pictures)
assert "openvino" in sys.modules
"""


def test_encoding_contacts_nobody_and_writes_only_to_the_cache(tmp_path: Path) -> None:
    home, cache = tmp_path / "home", tmp_path / "cache"
    home.mkdir()
    paths = {"HOME": str(home), "GANNET_CACHE": str(cache), "NUMBA_CACHE_DIR": str(cache / "numba")}
    xdg = {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA", "STATE")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **paths, **xdg, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "CONNECTS" not in done.stderr
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == []
    assert list(cache.iterdir())
