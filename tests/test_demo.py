"""The demo, end to end, on scikit-learn's digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from gannet import UHGA, Collection, ImageHasher
from gannet.data import get_dataset
from gannet.demo import run_demo


def test_demo_learns_collects_searches_and_writes_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    said: list[str] = []
    for _ in range(2):  # the second run replaces the files of the first
        files = run_demo(get_dataset("digits")().load(), tmp_path / "out", said.append, UHGA(n_bits=64, n_steps=60))
    with Collection.open(files.collection) as collection:
        collection.check()
        assert len(collection) == 1797 - 179 and collection.n_bits == 64
    assert ImageHasher.load(files.model).model.backbone == "efficientnet-lite0"
    page = files.page.read_text("utf-8")
    assert page.count("data:image/jpeg;base64,") >= 90
    scores = said[-1]
    assert scores.startswith("MAP: UHGA") and "ITQ" in scores
    assert 0.2 < float(scores.split("(64 bits) ")[1].split(",")[0]) < 1
