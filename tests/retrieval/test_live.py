"""Searches of a collection that others change see the latest state, and never a part of a change."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from gannet.codes import hamming, pack
from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.index import HammingIndex
from gannet.retrieval.duplicates import group_codes
from gannet.retrieval.live import LiveCollection, UnknownItemError
from gannet.scoring import asymmetric_scores
from tiny_model import tiny_model

N_BITS = 24


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c"
    codes = pack(np.random.default_rng(0).random((500, N_BITS)) < 0.5)
    with Collection.create(path, tiny_model(N_BITS)) as made:
        made.add(codes, [f"{i}.jpg" for i in range(500)])
    return path


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 65, 128])
def test_it_equals_the_index(tmp_path: Path, n_bits: int) -> None:
    codes = pack(np.random.default_rng(0).random((300, n_bits)) < 0.5)
    with Collection.create(tmp_path / "c", tiny_model(n_bits)) as made:
        ids = made.add(codes, [f"{i}.jpg" for i in range(300)])
        made.remove(ids[:3])
    index = HammingIndex(codes[3:], n_bits, ids=ids[3:])
    with contextlib.closing(LiveCollection(tmp_path / "c")) as live:
        assert live.n_bits == n_bits and len(live) == 297
        for query in (codes[0], codes[10]):
            found = live.search(query, 20)
            (distances,), (expected,) = index.search(query[None], 20)
            np.testing.assert_array_equal(found.ids, expected)
            np.testing.assert_array_equal(found.distances, distances)
            np.testing.assert_array_equal(found.codes, codes[found.ids])
            assert found.paths == [f"{i}.jpg" for i in found.ids]
            within = live.search(query, 297, radius=n_bits // 3)
            (near, near_ids), *_ = index.radius(query[None], n_bits // 3)
            np.testing.assert_array_equal(within.ids, near_ids)
            np.testing.assert_array_equal(within.distances, near)


@pytest.mark.parametrize("n_bits", [1, 24, 65])
def test_weights_order_by_score(tmp_path: Path, n_bits: int) -> None:
    random = np.random.default_rng(0)
    codes = pack(random.random((300, n_bits)) < 0.5)
    with Collection.create(tmp_path / "c", tiny_model(n_bits)) as made:
        ids = made.add(codes, [f"{i}.jpg" for i in range(300)])
        made.remove(ids[10:20])
    weights = random.standard_normal(n_bits)
    query = pack(weights[None] >= 0)
    kept = np.delete(ids, np.s_[10:20])
    scores, distances = asymmetric_scores(weights, codes[kept]), hamming(query, codes[kept])[0]
    order = np.lexsort((kept, distances, -scores))
    with contextlib.closing(LiveCollection(tmp_path / "c")) as live:
        for k in (1, 20, 290):
            found = live.search(query, k, weights=weights)
            np.testing.assert_array_equal(found.ids, kept[order][:k])
            np.testing.assert_array_equal(found.scores, scores[order][:k])
            np.testing.assert_array_equal(found.distances, distances[order][:k])
            np.testing.assert_array_equal(found.codes, codes[found.ids])
        within = live.search(query, 290, radius=n_bits // 3, weights=weights)
        near = order[distances[order] <= n_bits // 3]
        np.testing.assert_array_equal(within.ids, kept[near])
        assert live.search(query, 5).scores is None
        with pytest.raises(GannetError, match="shape"):
            live.search(query, 5, weights=np.ones(n_bits + 8))


def test_bad_arguments(file: Path, tmp_path: Path) -> None:
    with contextlib.closing(LiveCollection(file)) as live:
        code = live.item(0).code
        for call in (
            lambda: live.search(code, 0),
            lambda: live.search(code, 5, radius=-1),
            lambda: live.search(code[:2], 5),
            lambda: live.remove(3),
        ):
            with pytest.raises(GannetError):
                call()
        for id_ in (-1, 500, 2**63 - 1):
            with pytest.raises(UnknownItemError, match=f"no item {id_}"):
                live.item(id_)
    with pytest.raises(GannetError, match="there is no collection"):
        LiveCollection(tmp_path / "absent")


def test_its_own_changes_are_seen_and_stored(file: Path) -> None:
    with contextlib.closing(LiveCollection(file, editable=True)) as live:
        code = live.item(7).code
        live.remove(7)
        assert 7 not in live.search(code, 500).ids and len(live) == 499
        with pytest.raises(UnknownItemError):
            live.remove(7)
    with Collection.open(file) as store:
        assert len(store) == 499


def test_nothing_is_read_again_without_a_change(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(LiveCollection(file)) as live:
        monkeypatch.setattr(Collection, "codes", lambda _: pytest.fail("read again"))
        for _ in range(3):
            assert len(live.search(live.item(3).code, 5).ids) == 5


def test_a_deleted_file_is_served_on(file: Path) -> None:
    with contextlib.closing(LiveCollection(file)) as live:
        file.unlink()
        assert live.search(live.item(3).code, 1).paths == ["3.jpg"]
        assert live.info()["items"] == 500


def test_a_change_that_is_not_committed_is_not_seen(file: Path) -> None:
    with contextlib.closing(LiveCollection(file)) as live, Collection.open(file) as writer:
        with pytest.raises(ZeroDivisionError), writer._transaction(write=True) as db:
            db.execute("DELETE FROM items")
            db.execute("DELETE FROM segments")
            assert len(live) == 500 and live.item(3).path == "3.jpg"
            raise ZeroDivisionError
        assert len(live) == 500


CHANGE = """
import sys, numpy as np
from gannet.collection import Collection
with Collection.open(sys.argv[1]) as collection:
    ids = np.arange(500)
    for step in range(60):
        code = np.full((20, 3), step, np.uint8)
        new = collection.add(code, [f"step {step}"] * 20)
        if step % 2:
            collection.remove(new)
"""


def test_searches_see_whole_changes_by_another_program(file: Path) -> None:
    """Each change adds or removes 20 items with one code; a search finds all of them or none."""
    stop = threading.Event()
    sizes: list[int] = []

    def search(live: LiveCollection) -> None:
        random = np.random.default_rng()
        while not stop.is_set():
            step = int(random.integers(60))
            found = live.search(np.full(3, step, np.uint8), 1000, radius=0)
            mine = [path for path in found.paths if path == f"step {step}"]
            sizes.append(len(mine))

    with contextlib.closing(LiveCollection(file)) as live, ThreadPoolExecutor(3) as pool:
        searching = [pool.submit(search, live) for _ in range(3)]
        result = subprocess.run([sys.executable, "-c", CHANGE, str(file)], check=False)
        stop.set()
        for done in searching:
            done.result()
        assert result.returncode == 0
        assert set(sizes) == {0, 20}
        assert len(live) == 500 + 30 * 20


@pytest.mark.parametrize("n_bits", [1, 7, 24, 65])
@pytest.mark.parametrize("radius", [0, 1, 3])
def test_groups_are_the_connected_ones(n_bits: int, radius: int) -> None:
    random = np.random.default_rng(n_bits)
    codes = pack(random.random((80, n_bits)) < 0.5)
    codes[40:60] = codes[:20]
    ids = np.sort(random.choice(1000, 80, replace=False))
    index = HammingIndex(codes, n_bits, ids=ids)
    expected, left = [], set(ids.tolist())
    while left:
        group, border = set(), {min(left)}
        while border:
            group |= border
            at = np.searchsorted(ids, sorted(border))
            border = {int(i) for _, near in index.radius(codes[at], radius) for i in near} - group
        left -= group
        if len(group) > 1:
            expected.append(sorted(group))
    expected.sort(key=lambda group: (-len(group), group[0]))
    assert [ids[group].tolist() for group in group_codes(codes, n_bits, radius)] == expected


def test_groups_are_alike_where_features_are_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    features = random.standard_normal((40, 20))
    features[30:] = features[:10]
    codes = np.zeros((40, 8), np.uint8)
    with Collection.create(tmp_path / "c", tiny_model(64), n_features=20) as made:
        ids = made.add(codes, [f"{i}.jpg" for i in range(40)], features=features)
        with contextlib.closing(LiveCollection(tmp_path / "c")) as live:
            assert live.duplicate_limits == (4, 0.9)
            total, groups = live.duplicates(0, 0, 3, 1)
            assert total == 10 and [(group.size, list(group.items)) for group in groups] == [
                (2, [(i, f"{i}.jpg")]) for i in range(3)
            ]
            made.remove(ids[30:35])
            assert live.duplicates(0, 0, 100, 9)[0] == 5


def test_groups_are_found_anew_where_an_item_went_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Collection.create(tmp_path / "c", tiny_model(64), n_features=3) as made:
        made.add(np.zeros((4, 8), np.uint8), list("abcd"), features=np.ones((4, 3)))
        with contextlib.closing(LiveCollection(tmp_path / "c")) as live:
            read = Collection.features

            def after_a_change(self: Collection, ids: np.ndarray) -> np.ndarray:
                monkeypatch.setattr(Collection, "features", read)
                made.remove([2])
                return read(self, ids)

            live.duplicates(0, 0, 1, 9)
            made.remove([0])
            monkeypatch.setattr(Collection, "features", after_a_change)
            assert live.duplicates(0, 0, 1, 9)[1][0].items == [(1, "b"), (3, "d")]


@pytest.mark.parametrize("what", ["older copy", "newer copy", "other collection"])
@pytest.mark.parametrize("edited", [False, True])
def test_a_file_overwritten_in_place_is_noticed(tmp_path, what, edited):
    """SQLite itself may not notice it, as neither the place of the file nor its log changes."""
    file, copy = tmp_path / "c", tmp_path / "copy"
    with Collection.create(file, tiny_model(24)) as collection:
        collection.add(np.zeros((50, 3), np.uint8), ["old"] * 50)
    shutil.copy(file, copy)
    with contextlib.closing(LiveCollection(file, editable=True)) as live:
        if edited:
            live.remove(1)
            live.remove(2)
        if what == "newer copy":
            shutil.copy(file, copy)
            with Collection.open(copy) as collection:
                collection.remove(range(10, 15))
        elif what == "other collection":
            copy.unlink()
            with Collection.create(copy, tiny_model(24, seed=3)) as collection:
                collection.add(np.zeros((20, 3), np.uint8), ["new"] * 20)
        with Collection.open(copy) as collection:
            n, path = len(collection), collection.path(3)
        shutil.copy(copy, file)
        assert len(live) == n and live.item(3).path == path
        live.remove(3)
        assert len(live) == n - 1
    with Collection.open(file) as collection:
        collection.check()
        assert len(collection) == n - 1
