"""Exports that are repeated, brought up to date, interrupted or refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from places import Make, Place, Run

from gannet import Collection, GannetError
from gannet.engines import all_engines, get_engine, is_target, open_engine, open_target
from gannet.engines.address import Address
from gannet.engines.export import export
from gannet.engines.exportable import CollectionItems


def codes(n: int, n_bits: int = 64, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, n_bits // 8), dtype=np.uint8)


def check_equal(file: Path, address: str) -> None:
    """Check that a target holds exactly the items of a collection."""
    with Collection.open(file, readonly=True) as collection, open_target(address) as target:
        rows = CollectionItems(collection).rows(0, 1 << 62)
        assert len(target) == len(rows)
        if len(rows):
            ids, marks = target.engine.marks(0, 1 << 62)
            assert ids.tolist() == rows.ids.tolist() and marks.tolist() == rows.marks.tolist()
            assert target.engine.read(ids).marks.tolist() == marks.tolist()


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), digests=st.booleans())
def test_sync_writes_what_was_added_removed_and_renamed(
    place: Place, make_collection: Make, seed: int, digests: bool
) -> None:
    random = np.random.default_rng(seed)
    file, address = make_collection(codes(50), 64, digests=digests), place()
    assert export(file, address).added == 50
    with Collection.open(file) as collection:
        gone = random.choice(50, random.integers(0, 50), replace=False)
        if len(gone):
            collection.remove(gone)
        kept = np.setdiff1d(np.arange(50), gone)
        renamed = random.choice(kept, random.integers(0, len(kept) + 1), replace=False)
        if len(renamed):
            collection.rename(renamed, [f"new {i}" for i in renamed])
        n_added = int(random.integers(0, 20))
        if n_added:
            collection.add(codes(n_added, seed=1), [f"added {i}" for i in range(n_added)])
    changed = len(gone) + len(renamed) + n_added > 0
    if changed:
        with pytest.raises(GannetError, match=r"holds an earlier state of .*: bring it up to date with --sync"):
            export(file, address)
    done = export(file, address, sync=True)
    assert (done.added, done.removed, done.renamed) == (n_added, len(gone), len(renamed))
    check_equal(file, address)
    again = export(file, address, sync=random.random() < 0.5)
    assert (again.added, again.removed, again.renamed) == (0, 0, 0) and again.items == done.items


def test_an_interrupted_export_is_continued(place: Place, make_collection: Make, monkeypatch) -> None:
    file, address = make_collection(codes(100), 64), place()
    engine = open_engine(address, writable=True)
    engine.close()
    kind, written = type(engine), []
    write = kind.write
    monkeypatch.setattr(kind, "block", 16)

    def failing(self, rows) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(len(rows))
        write(self, rows)

    monkeypatch.setattr(kind, "write", failing)
    with pytest.raises(KeyboardInterrupt):
        export(file, address)
    with pytest.raises(GannetError, match="is not finished: run `gannet export` again"):
        open_target(address)
    monkeypatch.setattr(kind, "write", write)
    assert export(file, address).added == 100 - sum(written)
    check_equal(file, address)


def test_items_that_an_interrupted_export_wrote_are_removed(place: Place, make_collection: Make, monkeypatch) -> None:
    file, address = make_collection(codes(100), 64), place()
    engine = open_engine(address, writable=True)
    engine.close()
    with monkeypatch.context() as patch:
        patch.setattr(type(engine), "finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            export(file, address)
    with Collection.open(file) as collection:
        collection.remove(np.arange(10, 100))
    assert export(file, address).removed == 90
    check_equal(file, address)


def test_what_is_refused(place: Place, make_collection: Make, monkeypatch) -> None:
    file, address = make_collection(codes(9), 64), place()
    with pytest.raises(GannetError, match=r"gannet export"):
        open_target(address)
    export(file, address)
    with pytest.raises(GannetError, match=r"holds codes of another model \([0-9a-f]{12}, not [0-9a-f]{12}\)"):
        export(make_collection(codes(9), 64, "other.gannet", seed=1), address)
    monkeypatch.setattr(type(open_engine(address)), "max_id", 7)
    with pytest.raises(GannetError, match=r"holds ids up to 7, and c\.gannet has 8"):
        export(file, place())


def test_an_empty_collection(place: Place, make_collection: Make) -> None:
    file, address = make_collection(codes(0), 64), place()
    assert export(file, address).items == 0
    with open_target(address) as target:
        assert target.search(codes(2), 5)[0].shape == (2, 0) and target.radius(codes(1), 64)[0][1].shape == (0,)


def test_schemes_and_options() -> None:
    assert {"duckdb", "postgresql"} <= set(all_engines())
    for text, message in (
        ("ducdb:x", "unknown engine 'ducdb'; did you mean 'duckdb'"),
        ("postgres://x", "unknown engine 'postgres'; did you mean 'postgresql'"),
        ("photos.gannet", "begins with the name of an engine and a colon"),
        ("duckdb:", "lacks the place"),
        ("duckdb:x?tabel=3", "unknown option of duckdb: 'tabel'"),
        ("postgresql://h/d?approximate=hsnw", "did you mean 'hnsw'"),
        ("postgresql://h/d?ef=many", "must be a whole number from 1, not 'many'"),
        ("postgresql://h/d?ef=1&ef=2", "given twice"),
    ):
        with pytest.raises(GannetError, match=message):
            open_engine(text)
    assert is_target("duckdb:x") and not is_target("x.gannet") and not is_target("c:\\x")


@pytest.mark.parametrize(
    "target",
    [
        "postgresql://me:se%2Fcret@localhost:1/db?table=x&connect_timeout=2",
        "postgresql://me:se/cret@localhost:1/db?table=x",
        "postgresql://me:se?cret@localhost:1/db?table=x",
        "postgresql://me:se@cret@localhost:1/db",
        "postgresql://localhost:1/db?password=secret&user=me&table=x",
        "postgresql://me:secret@localhost:port/db",
        "postgresql://me:secret@localhost:1/db?sslmode=secret",
    ],
)
def test_no_message_contains_a_password(target: str, make_collection: Make, run: Run) -> None:
    file = make_collection(codes(3), 64)
    for more in (["export", str(file), target], ["search", target, "1"]):
        status, out, err = run(*more)
        assert status == 2 and out == "" and err.count("\n") == 1
        assert "cret" not in err and "postgresql:" in err
    with contextlib.suppress(GannetError):
        assert "cret" not in str(Address.parse(target, get_engine("postgresql").options, passes_options=True))


def test_from_the_command_line(place: Place, make_collection: Make, run: Run) -> None:
    file, address = make_collection(codes(30), 64), place()
    found = json.loads(run("export", file, address, "--json").out)
    assert found["items"] == 30 and found["exact"] is True and found["recall"] is None
    assert found["target"].partition(":")[0] == address.partition(":")[0]
    assert json.loads(run("search", address, 7, "--json").out) == json.loads(run("search", file, 7, "--json").out)
    assert "holds 30 items: nothing to write" in run("export", file, address, "--sync").out
    for wrong, message in (
        ([address, 7, "--index", "brute"], "--index is for collections"),
        ([address, 7, "--part", "kind"], "--part is for collections"),
        ([file, 7, "--index", address], "give the target in its place"),
        ([address, 7, "--rerank", 20], "not exported: search the collection"),
        ([address, 30], "has no item 30"),
    ):
        status, out, err = run("search", *wrong)
        assert status == 2 and out == "" and message in err and err.count("\n") == 1
