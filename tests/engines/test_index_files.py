"""Files of faiss and usearch: files of different exports, interruptions, and reading by the libraries themselves."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from places import Make

from gannet import Collection, GannetError
from gannet.engines import open_target
from gannet.engines.export import export


def codes(n: int, n_bits: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, n_bits // 8), dtype=np.uint8)


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
