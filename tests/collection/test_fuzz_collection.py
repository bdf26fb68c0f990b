"""Truncated, overwritten and random files give an error of one line, and never a crash."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.retrieval.live import LiveCollection
from tiny_model import tiny_model

EXAMPLES = int(os.environ.get("GANNET_FUZZ", "120")) // 3  # `make fuzz` reads many more
CODES = np.random.default_rng(0).integers(0, 256, (300, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fuzz") / "good"
    with Collection.create(path, tiny_model(24)) as made:
        made.add(CODES, [f"{i}.jpg" for i in range(300)], [bytes([i % 256, i // 256]) for i in range(300)])
    return path


def read_all(file: Path) -> None:
    """Read everything; each result must be correct, or a `GannetError` of one line."""
    try:
        with contextlib.closing(LiveCollection(file)) as live:
            found = live.search(CODES[5], 300)
            np.testing.assert_array_equal(found.codes, CODES[found.ids])
            live.item(5)
            live.sample(10)
            live.info()
            live.has_content(5, b"\x05\x00")
        with Collection.open(file) as collection:
            collection.model()
            collection.check()
    except GannetError as error:
        assert "\n" not in str(error)


@settings(max_examples=EXAMPLES, deadline=None)
@given(length=st.integers(0, 60_000), tail=st.binary(max_size=200))
def test_cut_short_and_overwritten(good: Path, length: int, tail: bytes) -> None:
    file = good.with_name("cut")
    file.write_bytes(good.read_bytes()[:length] + tail)
    read_all(file)


@settings(max_examples=EXAMPLES, deadline=None)
@given(start=st.integers(0, 60_000), noise=st.binary(min_size=1, max_size=2000))
def test_a_stretch_of_noise(good: Path, start: int, noise: bytes) -> None:
    raw = bytearray(good.read_bytes())
    raw[start : start + len(noise)] = noise
    good.with_name("noise").write_bytes(raw)
    read_all(good.with_name("noise"))


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.binary(max_size=3000))
def test_anything_else(good: Path, data: bytes) -> None:
    file = good.with_name("other")
    file.write_bytes(data)
    with pytest.raises(GannetError):
        LiveCollection(file)
    file.write_bytes(good.read_bytes()[:100] + data)
    read_all(file)
