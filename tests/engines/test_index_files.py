"""Files of faiss and usearch: approximate searches, additions, mixed-up files, and their use by the libraries."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from places import Make, Run

from gannet import Collection, GannetError, HammingIndex
from gannet.engines import open_target
from gannet.engines.export import export

APPROXIMATE = ("faiss:{}?approximate=hnsw", "faiss:{}?approximate=ivf&probes=4", "usearch:{}")


def codes(n: int, n_bits: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, n_bits // 8), dtype=np.uint8)


@pytest.mark.parametrize("address", APPROXIMATE)
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


@pytest.mark.parametrize("address", APPROXIMATE)
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


@pytest.mark.parametrize("scheme", ["faiss", "usearch"])
def test_files_that_do_not_belong_together(scheme: str, make_collection: Make, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 1)):
        export(make_collection(codes(20, seed=seed), 64), f"{scheme}:{tmp_path / name}")
    shutil.copy(tmp_path / "b.sqlite", tmp_path / "a.sqlite")
    with pytest.raises(GannetError, match="belongs to another export"):
        open_target(f"{scheme}:{tmp_path}/a")
    (tmp_path / "a.sqlite").unlink()
    with pytest.raises(GannetError, match=r"no file .*a\.sqlite: write"):
        open_target(f"{scheme}:{tmp_path}/a")
    with pytest.raises(GannetError, match="there already, and is no export"):
        export(tmp_path / "c.gannet", f"{scheme}:{tmp_path}/a")
    (tmp_path / "b").unlink()
    with pytest.raises(GannetError, match="No such file"):
        open_target(f"{scheme}:{tmp_path}/b")


@pytest.mark.parametrize("n_replaced", [0, 1])
@pytest.mark.parametrize("scheme", ["faiss", "usearch"])
def test_an_export_that_stops_beside_the_new_file(
    scheme: str, n_replaced: int, make_collection: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, address = make_collection(codes(20), 64), f"{scheme}:{tmp_path / 'index'}"
    export(file, address)
    with Collection.open(file) as collection:
        collection.add(codes(5, seed=1), list("abcde"))
    replace = Path.replace

    def stopping(self: Path, target: Path) -> Path:
        if n_replaced:
            replace(self, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", stopping)
    with pytest.raises(KeyboardInterrupt):
        export(file, address, sync=True)
    monkeypatch.setattr(Path, "replace", replace)
    n = 25 if n_replaced else 20
    with open_target(address) as target:
        assert len(target) == n and target.search(codes(1), 30)[1].shape == (1, n)
    assert export(file, address, sync=True).items == 25
    with open_target(address) as target:
        assert target.search(codes(1), 30)[1].shape == (1, 25)


def test_an_index_that_was_not_exported(make_collection: Make, tmp_path: Path) -> None:
    file, address = make_collection(codes(50), 64), f"faiss:{tmp_path / 'index'}"
    export(file, address)
    with pytest.raises(GannetError, match="exported without this index: run `gannet export`"):
        open_target(f"{address}?approximate=hnsw")
    export(file, f"{address}?approximate=hnsw")
    with open_target(f"{address}?approximate=hnsw") as one, open_target(address) as other:
        assert other.engine.exact and one.search(codes(1), 1)[1] == other.search(codes(1), 1)[1]
    with pytest.raises(GannetError, match="did you mean 'hnsw'"):
        open_target(f"{address}?approximate=hsnw")


def test_the_libraries_read_their_files(make_collection: Make, tmp_path: Path) -> None:
    faiss, usearch = pytest.importorskip("faiss"), pytest.importorskip("usearch.index")
    file = make_collection(codes(30), 64)
    with Collection.open(file) as collection:
        collection.remove([0, 1])
    export(file, f"faiss:{tmp_path / 'a'}")
    export(file, f"usearch:{tmp_path / 'b'}")
    distances, ids = faiss.read_index_binary(str(tmp_path / "a")).search(codes(30)[7:8], 1)
    assert (distances[0, 0], ids[0, 0]) == (0, 7)
    found = usearch.Index.restore(tmp_path / "b").search(codes(30)[7], 1)
    assert (found.distances[0], found.keys[0]) == (0, 7)
