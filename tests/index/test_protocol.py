"""Indexes of other distributions: found by name, given to a collection, searched from Python and the command line."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gannet.codes import hamming, pack
from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.index import HammingIndex, Index, all_indexes, get_index
from gannet.retrieval.live import LiveCollection
from gannet.retrieval.query import search
from tiny_model import tiny_model

BRUTE = """
import numpy as np
from gannet.codes import hamming

class BruteForce:
    made = 0

    def __init__(self, codes, n_bits, ids=None):
        assert type(ids) is np.ndarray and ids.dtype == np.int64
        BruteForce.made += 1
        self.codes, self.n_bits, self.ids = codes, n_bits, ids

    def __len__(self):
        return len(self.codes)

    def search(self, queries, k):
        distances = hamming(queries, self.codes)
        order = np.array([np.lexsort((self.ids, row))[:k] for row in distances])
        return np.take_along_axis(distances, order, 1), self.ids[order]

    def radius(self, queries, r):
        return [(d[d <= r], i[d <= r]) for d, i in zip(*self.search(queries, len(self)))]

    def add(self, codes, ids=None):
        ids = self.ids.max(initial=-1) + 1 + np.arange(len(codes)) if ids is None else np.asarray(ids)
        self.codes, self.ids = np.concatenate([self.codes, codes]), np.concatenate([self.ids, ids])
        return ids

    def remove(self, ids):
        kept = ~np.isin(self.ids, ids)
        self.codes, self.ids = self.codes[kept], self.ids[kept]
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an installed distribution with an index, and with one that cannot be imported."""
    folder = tmp_path / "outside"
    info = folder / "brute-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "brute_force.py").write_text(BRUTE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: brute\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[gannet.indexes]\nbrute = brute_force:BruteForce\nbroken = no_such_module:Index\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "brute_force", raising=False)
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c"
    with Collection.create(path, tiny_model(24)) as made:
        made.add(pack(np.random.default_rng(0).random((200, 24)) < 0.5), [f"{i}.jpg" for i in range(200)])
        made.remove([5, 6])
    return path


@pytest.mark.usefixtures("outside")
def test_indexes_are_found_by_name(caplog: pytest.LogCaptureFixture) -> None:
    assert get_index("hamming") is HammingIndex
    assert get_index("brute").__name__ == "BruteForce"
    assert list(all_indexes()) == ["brute", "hamming"]
    assert "no_such_module" in caplog.text
    with pytest.raises(GannetError, match="unknown index 'brut'; did you mean 'brute'"):
        get_index("brut")
    with pytest.raises(GannetError, match="index 'broken' of brute cannot be imported"):
        get_index("broken")


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", ["hamming", "brute"])
def test_the_contract(name: str) -> None:
    random = np.random.default_rng(1)
    codes, ids = random.integers(0, 4, (30, 1), dtype=np.uint8), np.sort(random.choice(100, 30, replace=False))
    index: Index = get_index(name)(codes, 8, ids=ids)  # type: ignore[call-arg]
    assert len(index) == 30 and index.n_bits == 8
    assert index.add(np.array([[255]], np.uint8)).tolist() == [ids.max() + 1]
    assert index.add(np.array([[254]], np.uint8), [3000]).tolist() == [3000]
    index.remove(ids[:2])
    codes, ids = np.append(codes[2:], [[255], [254]], axis=0).astype(np.uint8), np.array([*ids[2:], ids[-1] + 1, 3000])
    queries = np.array([[0], [3]], np.uint8)
    away = hamming(queries, codes)
    distances, found = index.search(queries, 12)
    near = index.radius(queries, 1)
    assert distances.dtype == found.dtype == np.int64 and distances.shape == found.shape == (2, 12)
    assert index.search(queries, 99)[0].shape == (2, 30)
    for row, some, hits, (near_distances, near_ids) in zip(away, distances, found, near, strict=True):
        order = np.lexsort((ids, row))
        assert hits.tolist() == ids[order[:12]].tolist() and some.tolist() == row[order[:12]].tolist()
        assert near_ids.tolist() == ids[order][row[order] <= 1].tolist()
        assert near_distances.tolist() == row[order][row[order] <= 1].tolist()


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("given", ["a name", "a class", "a factory"])
def test_a_collection_searches_with_the_index_it_is_given(file: Path, given: str) -> None:
    brute = get_index("brute")
    made: list[Index] = []

    def factory(codes: np.ndarray, n_bits: int, ids: np.ndarray) -> Index:
        made.append(brute(codes, n_bits, ids=ids))  # type: ignore[call-arg]
        return made[-1]

    index: str | Callable[..., Index] = {"a name": "brute", "a class": brute, "a factory": factory}[given]
    with Collection.open(file) as collection:
        expected = search(collection, ["17", "40"], k=7)
        within = search(collection, ["17"], radius=9)
    with Collection.open(file, index=index) as collection:
        assert isinstance(collection.index(), brute) and len(collection.index()) == 198
        assert search(collection, ["17", "40"], k=7) == expected
        assert search(collection, ["17"], radius=9) == within
    with contextlib.closing(LiveCollection(file, editable=True, index=index)) as live:
        live.warm_up()  # which asks nothing of an index without `prepare`
        before = brute.made  # type: ignore[attr-defined]
        assert live.search(live.code(17), 7).ids.tolist() == [item["id"] for item in expected[0]["results"]]
        live.remove(17)
        assert live.search(live.code(40), 198).ids.tolist().count(17) == 0 and len(live) == 197
        assert brute.made == before + 1  # type: ignore[attr-defined]
    assert len(made) == (6 if given == "a factory" else 0)


def test_other_values_are_refused(file: Path) -> None:
    for index, message in (("haming", "did you mean 'hamming'"), (3, "a name, a class or a factory, not int")):
        for call in (Collection.open, LiveCollection):
            with pytest.raises(GannetError, match=message):
                call(file, index=index)  # type: ignore[operator]


def test_from_the_command_line(file: Path, outside: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(outside), *sys.path])}
        program = (
            "import sys; from gannet.cli import main\n"
            "try:\n    main()\n"
            "finally:\n    print(getattr(sys.modules.get('brute_force'), 'BruteForce', None), file=sys.stderr)"
        )
        command = [sys.executable, "-c", program, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    usual, other = (run("search", str(file), "17", "--json", *more) for more in ((), ("--index", "brute")))
    assert json.loads(usual.stdout) == json.loads(other.stdout) and usual.returncode == other.returncode == 0
    assert "BruteForce" in other.stderr and usual.stderr == "None\n"
    for command in (["search", str(file), "17"], ["serve", str(file), "--port", "0"]):
        wrong = run(*command, "--index", "brut")
        assert wrong.returncode != 0 and "unknown index 'brut'; did you mean 'brute'?" in wrong.stderr
