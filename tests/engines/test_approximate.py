"""Approximate searches of engines: true distances in order, a measured recall, and exact searches by radius."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from places import Make, Run

from gannet import Collection, GannetError, HammingIndex
from gannet.engines import open_target
from gannet.engines.export import export

ADDRESSES = (
    "faiss:{}?approximate=hnsw",
    "faiss:{}?approximate=ivf&probes=4",
    "lancedb:{}?approximate=ivf&probes=4",
    "lancedb:file://{}?approximate=ivf&probes=4&table=photos",
    "usearch:{}",
)


def codes(n: int, n_bits: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, n_bits // 8), dtype=np.uint8)


@pytest.mark.parametrize("address", ADDRESSES)
def test_approximate_searches(address: str, make_collection: Make, run: Run, tmp_path: Path) -> None:
    file, address = make_collection(codes(600), 64), address.format(tmp_path / "index")
    found = json.loads(run("export", file, address, "--json").out)
    assert found["exact"] is False and 0.2 < found["recall"] <= 1
    assert "recall" in run("export", file, address).out
    index = HammingIndex(codes(600), 64)
    with open_target(address) as target:
        for k in (1, 10, 600):
            distances, ids = target.search(codes(20), k)
            assert ids.shape == (20, k) and (ids[:, 0] == np.arange(20)).mean() > 0.8
            true = np.bitwise_count(codes(20)[:, None] ^ target.codes(np.arange(600))).sum(axis=2)
            np.testing.assert_array_equal(distances, np.take_along_axis(true, ids, axis=1))
            order = np.lexsort((ids, distances))
            np.testing.assert_array_equal(order, np.arange(k) + np.zeros((20, 1), int))
        for (expected, near), (some, those) in zip(
            index.radius(codes(3), 24), target.radius(codes(3), 24), strict=True
        ):
            np.testing.assert_array_equal(expected, some)
            np.testing.assert_array_equal(near, those)


@pytest.mark.parametrize("address", ADDRESSES)
def test_additions_and_removals(address: str, make_collection: Make, tmp_path: Path) -> None:
    file, address = make_collection(codes(300), 64), address.format(tmp_path / "index")
    export(file, address)
    with open_target(address) as target:  # a server that goes on
        for change in ("add", "remove"):
            with Collection.open(file) as collection:
                if change == "add":
                    collection.add(codes(50, seed=1), [f"new {i}" for i in range(50)])
                else:
                    collection.remove(np.arange(0, 100))
                ids, stored = collection.ids, collection.codes()
            export(file, address, sync=True)
            np.testing.assert_array_equal(target.codes(ids), stored)
            found = target.search(stored, 1)[1][:, 0]
            assert len(target) == len(ids) and set(found) <= set(ids) and (found == ids).mean() > 0.8


@pytest.mark.parametrize(("scheme", "kind"), [("faiss", "hnsw"), ("faiss", "ivf"), ("lancedb", "ivf")])
def test_an_index_that_was_not_exported(scheme: str, kind: str, make_collection: Make, tmp_path: Path) -> None:
    file, exact = make_collection(codes(50), 64), f"{scheme}:{tmp_path / 'index'}"
    approximate = f"{exact}?approximate={kind}"
    export(file, exact)
    with pytest.raises(GannetError, match=f"has no {kind.upper()} index: run `gannet export`"):
        open_target(approximate)
    assert export(file, approximate).added == 0
    with open_target(approximate) as one, open_target(exact) as other:
        assert other.engine.exact and not one.engine.exact
        assert one.search(codes(1), 1)[1] == other.search(codes(1), 1)[1]
    with pytest.raises(GannetError, match=f"did you mean '{kind}'"):
        open_target(f"{exact}?approximate={kind}s")
