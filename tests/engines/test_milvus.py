"""Milvus, on a real server: exact searches are those of `HammingIndex`, and exports are brought up to date.

Its collections take seconds to make, so that it does not take part in the tests of all other engines.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from places import Make, Run
from test_engines import LENGTHS, random_codes

from gannet import Collection, GannetError, HammingIndex, search
from gannet.engines import Header, Rows, open_engine, open_target
from gannet.engines.export import export
from gannet.engines.exportable import CollectionItems
from gannet.engines.kinds.milvus import Milvus


def test_search_is_that_of_the_hamming_index(milvus: str) -> None:
    with ThreadPoolExecutor() as pool:  # the server waits for itself most of the time
        for done in [pool.submit(check_search, milvus, n_bits) for n_bits in LENGTHS]:
            done.result()


def check_search(milvus: str, n_bits: int) -> None:
    codes, ids = random_codes(300, n_bits, 0, 20), np.sort(np.random.default_rng(0).choice(10**12, 300, replace=False))
    paths = [b"a", b"", b"\xff\xfe.jpg", "\u00fc'\"\\#!?%\n.jpg".encode(), b"a", b"x" * 3000] + [
        b"%d" % i for i in ids[6:]
    ]
    digests = [b"1" * 16, None, b"\0\xff"] * 100
    rows, header = Rows(ids, codes, paths, digests), Header(n_bits, "a" * 64, "then", "later", "state", 7)
    engine = open_engine(f"{milvus}?table=t{n_bits}", writable=True)
    assert engine.header() is None
    engine.create(header, model := b"\0model\xff" * 20_000)
    engine.write(rows)
    engine.finish()
    engine.close()

    engine = open_engine(f"{milvus}?table=t{n_bits}")
    assert engine.header() == header and engine.model() == model and engine.exact and len(engine) == 300
    index = HammingIndex(codes, n_bits, ids=ids)
    queries = np.concatenate([codes[:3], random_codes(3, n_bits, 1, 3)])
    for k in (1, 5, 301):
        for one, other in zip(index.search(queries, k), engine.search(queries, k), strict=True):
            np.testing.assert_array_equal(one, other)
    for r in (0, n_bits // 4, n_bits):
        for one, other in zip(index.radius(queries, r), engine.radius(queries, r), strict=True):
            np.testing.assert_array_equal(one, other)
    found = engine.read(np.sort([*ids[:7], 5]))
    assert found.ids.tolist() == ids[:7].tolist() and [*found.paths] == paths[:7] and [*found.digests] == digests[:7]
    np.testing.assert_array_equal(found.codes, codes[:7])
    stored, marks = engine.marks(0, 1 << 62)
    assert stored.tolist() == ids.tolist() and marks.tolist() == rows.marks.tolist()
    assert engine.find("path", paths[:4]).tolist() == ids[:5].tolist()
    assert engine.find("digest", [b"\0\xff"]).tolist() == ids[2::3].tolist()
    engine.close()


def test_exports(milvus: str, make_collection: Make, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    file, address = make_collection(random_codes(3000, 64, 0, 3000), 64), f"{milvus}?table=exports"
    approximate = f"{address}&approximate=ivf&probes=40"
    monkeypatch.setattr(Milvus, "block", 1024)
    with pytest.raises(GannetError, match=r"gannet export"):
        open_target(address)
    assert "3,000 added" in run("export", file, address).out
    with pytest.raises(GannetError, match="has no IVF index: run `gannet export`"):
        open_target(approximate)
    with Collection.open(file) as collection:
        collection.remove([0, 5])
        collection.rename([7], ["new name"])
        collection.add(random_codes(30, 64, 1, 30), [f"added {i}" for i in range(30)])
    done = json.loads(run("export", file, approximate, "--sync", "--json").out)
    assert [done[name] for name in ("items", "added", "removed", "renamed")] == [3028, 30, 2, 1]
    assert done["exact"] is False and 0.5 < done["recall"] <= 1
    queries = ["7", "5", "added 3", "1500"]
    with (
        Collection.open(file, readonly=True) as collection,
        open_target(address) as exact,
        open_target(approximate) as other,
    ):
        rows = CollectionItems(collection).rows(0, 1 << 62)
        assert exact.engine.read(rows.ids).marks.tolist() == rows.marks.tolist()
        for options in ({}, {"k": 40}, {"radius": 20}):
            expected, found = search(collection, queries, **options), search(exact, queries, **options)
            assert [answer["results"] for answer in found] == [answer["results"] for answer in expected]
        distances, ids = other.search(rows.codes[:5], 3000)
        np.testing.assert_array_equal(distances, exact.search(rows.codes[:5], 3000)[0])
        assert ids.shape == (5, 3000)


def test_more_ties_than_milvus_returns_at_once(milvus: str, make_collection: Make) -> None:
    file, address = make_collection(np.zeros((20_000, 2), np.uint8), 16), f"{milvus}?table=ties"
    export(file, address)
    with open_target(address) as target:
        assert target.search(np.ones((1, 2), np.uint8), 10)[1].tolist() == [list(range(10))]
        distances, ids = target.radius(np.ones((1, 2), np.uint8), 2)[0]
        assert (distances == 2).all() and ids.tolist() == list(range(20_000))
        with pytest.raises(GannetError, match="up to 16,384 items at once: ask for fewer than 20,000"):
            target.search(np.ones((1, 2), np.uint8), 30_000)


@pytest.mark.parametrize("target", ["milvus://me:se%2Fcret@localhost:1", "milvus://me:secret@localhost:port/db"])
def test_no_message_contains_a_password(target: str, make_collection: Make, run: Run) -> None:
    pytest.importorskip("pymilvus", reason="needs pymilvus")
    status, out, err = run("export", make_collection(random_codes(3, 64, 0, 3), 64), target)
    assert status == 2 and out == "" and err.count("\n") == 1 and "cret" not in err and "milvus://localhost" in err
