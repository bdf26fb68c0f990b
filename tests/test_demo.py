"""The demo, end to end on scikit-learn's digits."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from gannet import UHGA, Collection, ImageHasher, demo
from gannet.data import get_dataset


def test_demo_learns_collects_searches_and_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(demo, "UHGA", functools.partial(UHGA, n_steps=60))
    said: list[str] = []
    for _ in range(2):  # a second run replaces what the first left
        files = demo.run_demo(get_dataset("digits")().load(), tmp_path / "out", said.append)
    with Collection.open(files.collection) as collection:
        collection.check()
        assert len(collection) == 1797 - 179 and collection.n_bits == demo.N_BITS
    assert ImageHasher.load(files.model).model.backbone == "efficientnet-lite0"
    page = files.page.read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") >= 90
    scores = said[-1]
    assert scores.startswith("MAP: UHGA") and "ITQ" in scores
    assert 0.2 < float(scores.split("(64 bits) ")[1].split(",")[0]) < 1
