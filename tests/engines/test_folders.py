"""Exports of folders of codes are those of the collections that are made of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gannet import GannetError, HammingIndex
from gannet.code_folder import CodeBlock, CodeFolder, Header, shard_bytes
from gannet.collection import Collection
from gannet.collection.indexing import index_folder
from gannet.data import Skipped
from gannet.engines import Rows, get_engine, open_target
from gannet.engines.export import export, measure_recall
from gannet.engines.exportable import CollectionItems, FolderItems
from tiny_model import tiny_model

N_BITS = 24


def write_folder(
    path: Path, n: int, size: int = 7, *, digests: bool = True, gap: int = 0, seed: int = 0, source: str = "photos"
) -> CodeFolder:
    """Write a folder of codes; every ``gap``-th item could not be read."""
    model = tiny_model(N_BITS, seed)
    header = Header(model.id, N_BITS, [{"name": source, "n_items": n, "digest": str(n)}], {}, size, -(-n // size))
    folder = CodeFolder.begin(path, model, header)
    codes = np.random.default_rng(0).integers(0, 256, (n, N_BITS // 8), dtype=np.uint8)
    for shard in folder.missing():
        every = np.arange(shard * size, min((shard + 1) * size, n))
        lost = every[every % gap == gap - 1] if gap else every[:0]
        ids = np.setdiff1d(every, lost)
        names = [f"{i} ü.jpg" for i in ids]
        contents = [b"digest %09d" % i for i in ids] if digests else []
        skipped = [Skipped(f"{i} ü.jpg", "no image") for i in lost]
        block = CodeBlock(ids, codes[ids], names, contents, names, skipped)
        folder.write(shard, shard_bytes(block, shard, model.id, N_BITS))
    return folder


def stored(address: str) -> Rows:
    """Return all rows of a target, whose checksums are those of the rows."""
    with open_target(address) as target:
        ids, marks = target.engine.marks(0, 1 << 40)
        rows = target.engine.read(ids) if len(ids) else Rows(ids, np.empty((0, N_BITS // 8), np.uint8), [], [])
        assert rows.marks.tolist() == marks.tolist() and len(target) == len(ids)
        return rows


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"duckdb:{tmp_path}/target"


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write rows in blocks of 16 ids."""
    monkeypatch.setattr(get_engine("duckdb"), "block", 16)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(1, 80),
    size=st.sampled_from([1, 5, 16, 40, 100]),
    gap=st.sampled_from([0, 1, 2, 9]),
    digests=st.booleans(),
)
def test_it_holds_what_a_collection_of_the_folder_holds(
    tmp_path_factory: pytest.TempPathFactory, small_blocks: None, n: int, size: int, gap: int, digests: bool
) -> None:
    path = tmp_path_factory.mktemp("folder")
    folder = write_folder(path / "codes", n, size, gap=gap, digests=digests)
    index_folder(path / "c", folder)
    of_folder, of_collection = export(folder.path, f"duckdb:{path}/f"), export(path / "c", f"duckdb:{path}/g")
    assert (of_folder.items, of_folder.added) == (of_collection.items, of_collection.added) == (len(folder),) * 2
    assert list(of_folder.skipped) == folder.skipped()
    a, b = stored(f"duckdb:{path}/f"), stored(f"duckdb:{path}/g")
    assert a.ids.tolist() == b.ids.tolist() == [i for i in range(n) if not gap or i % gap != gap - 1]
    assert a.codes.tobytes() == b.codes.tobytes()
    assert list(a.paths) == list(b.paths) and list(a.digests) == list(b.digests)
    with open_target(f"duckdb:{path}/f") as target:
        assert target.model() == folder.model().to_bytes()
        assert target.info()["changed"][:4] >= "2026"


def test_another_folder_of_the_same_sources_brings_it_up_to_date(
    tmp_path: Path, address: str, small_blocks: None
) -> None:
    export(write_folder(tmp_path / "before", 50, gap=9).path, address)
    grown = write_folder(tmp_path / "now", 90, size=11)
    with pytest.raises(GannetError, match=r"holds an earlier state of .*/now: bring it up to date with --sync"):
        export(grown.path, address)
    done = export(grown.path, address, sync=True)
    assert (done.items, done.added, done.removed, done.renamed) == (90, 45, 0, 0)
    assert stored(address).marks.tolist() == FolderItems(grown).rows(0, 90).marks.tolist()
    again = export(grown.path, address)
    assert (again.added, again.removed, again.renamed) == (0, 0, 0)
    done = export(tmp_path / "before", address, sync=True)
    assert (done.items, done.removed) == (45, 45)


def test_a_copy_and_a_rerun_are_the_same_state(tmp_path: Path, address: str) -> None:
    folder = write_folder(tmp_path / "codes", 30)
    export(folder.path, address)
    next(folder.path.glob("codes-000002*")).unlink()
    with pytest.raises(GannetError, match="is not complete, it holds 4 of 5 files"):
        export(folder.path, address)
    assert write_folder(tmp_path / "codes", 30).state == write_folder(tmp_path / "copy", 30).state
    for path in (tmp_path / "codes", tmp_path / "copy"):
        assert export(path, address).added == 0
    assert write_folder(tmp_path / "other", 30, gap=29).state != folder.state


def test_an_interrupted_export_is_continued(
    tmp_path: Path, address: str, small_blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kind, written = write_folder(tmp_path / "codes", 100), get_engine("duckdb"), []
    write: Callable[..., None] = kind.write

    def failing(self: object, rows: Rows) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(len(rows))
        write(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            export(folder.path, address)
    assert export(folder.path, address).added == 100 - 48 and written == [16] * 3
    assert stored(address).marks.tolist() == FolderItems(folder).rows(0, 100).marks.tolist()
    again = export(folder.path, address, sync=True)
    assert (again.items, again.added, again.removed, again.renamed) == (100, 0, 0, 0)


def test_what_is_refused(tmp_path: Path, address: str) -> None:
    folder = write_folder(tmp_path / "codes", 20)
    export(folder.path, address)
    for path, message in (
        (write_folder(tmp_path / "a", 20, seed=1).path, r"holds codes of another model \([0-9a-f]{12}, not"),
        (write_folder(tmp_path / "b", 20, source="others").path, "holds the items of another collection or folder"),
        (tmp_path / "missing", "missing"),
    ):
        with pytest.raises(GannetError, match=message):
            export(path, address, sync=True)
    index_folder(tmp_path / "c", folder)
    with pytest.raises(GannetError, match="holds the items of another collection or folder"):
        export(tmp_path / "c", address, sync=True)
    next(folder.path.glob("codes-000001*")).write_bytes(b"PAR1 damaged PAR1")
    with pytest.raises(GannetError, match=r"codes-000001\.parquet is not a whole file of codes: delete it, and"):
        export(folder.path, f"{address}2")


def test_recall_is_measured_one_file_at_a_time(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "codes", 300, size=40, gap=7)
    index_folder(tmp_path / "c", folder)
    blocks = list(folder.blocks())
    ids, codes = np.concatenate([block.ids for block in blocks]), np.concatenate([block.codes for block in blocks])
    exact, half = HammingIndex(codes, N_BITS, ids=ids), HammingIndex(codes[::2], N_BITS, ids=ids[::2])
    with Collection.open(tmp_path / "c") as collection:
        for items in (FolderItems(folder), CollectionItems(collection)):
            assert measure_recall(items, len(ids), exact.search) == 1
            assert 0.2 < measure_recall(items, len(ids), half.search) < 0.8
        recalls = {
            measure_recall(items, len(ids), half.search) for items in (FolderItems(folder), CollectionItems(collection))
        }
    assert len(recalls) == 1
