"""Flipped bits at rest and crafted values: an answer is right, or it is an error."""

from __future__ import annotations

import contextlib
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gannet.codes import pack
from gannet.collection import Collection, schema
from gannet.errors import GannetError
from tiny_model import tiny_model

N = 400


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("good") / "c"
    generator = np.random.default_rng(0)
    with Collection.create(path, tiny_model(24), n_features=4) as collection:
        codes = pack(generator.random((N, 24)) < 0.5)
        names, digests = [f"/photos/{i}.jpg" for i in range(N)], [b"%016d" % i for i in range(N)]
        collection.add(codes, names, digests, features=generator.random((N, 4)))
    return path


def answers(file: Path) -> dict[str, object]:
    """Return what a collection answers; a refused question is left out."""
    result: dict[str, object] = {}
    with Collection.open(file, readonly=True) as collection:
        questions: dict[str, Callable[[], object]] = {
            "info": lambda: collection.info(),
            "paths": lambda: collection.paths(range(N)),
            "ids": lambda: collection.ids.tolist(),
            "codes": lambda: collection.codes().tolist(),
            "some codes": lambda: collection.codes([3, 333]).tolist(),
            "features": lambda: collection.features([3, 333]).tolist(),
            "digests": lambda: sorted(collection.find_digests([b"%016d" % i for i in range(0, N, 7)]).items()),
            "at": lambda: sorted(collection.items_at(["/photos/7.jpg"])),
            "under": lambda: sorted(collection.items_under("/photos")),
            "model": collection.model,
        }
        for i in range(0, N, 40):
            questions[f"path {i}"] = lambda i=i: collection.path(i)  # type: ignore[misc]
            questions[f"find {i}"] = lambda i=i: collection.find_path(f"/photos/{i}.jpg").tolist()  # type: ignore[misc]
        for name, ask in questions.items():
            try:
                result[name] = ask()
            except GannetError as error:
                assert "\n" not in str(error)
    return result


def test_a_flipped_bit_is_an_error_or_has_no_effect(good: Path, tmp_path: Path) -> None:
    expected, raw, file = answers(good), good.read_bytes(), tmp_path / "c"
    numbers = random.Random(0)
    # The rows of items and their database indexes are what a search by id or path reads.
    places = [numbers.randrange(8 * len(raw)) for _ in range(250)]
    for name in (b"/photos/7.jpg", b"/photos/40.jpg", b"/photos/399.jpg"):
        at = raw.find(name)
        while at >= 0:
            places += [8 * (at + numbers.randrange(-8, len(name) + 24)) + numbers.randrange(8) for _ in range(12)]
            at = raw.find(name, at + 1)
    refused = 0
    for place in places:
        damaged = bytearray(raw)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with contextlib.suppress(GannetError):
            found = answers(file)
            wrong = {name for name, answer in found.items() if answer != expected[name]}
            assert not wrong, place
            refused += len(found) < len(expected)
    assert refused > 20


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE items SET path = x'2f62' WHERE id = 7",
        "UPDATE items SET digest = x'00' WHERE id = 7",
        "UPDATE items SET id = 4007 WHERE id = 7",
        "UPDATE items SET container = 0 WHERE id = 7",
        "UPDATE items SET path = 'text' WHERE id = 7",
        "UPDATE items SET checksum = 'none' WHERE id = 8",
    ],
)
def test_a_changed_row_is_damage(good: Path, tmp_path: Path, statement: str) -> None:
    file = tmp_path / "c"
    file.write_bytes(good.read_bytes())
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute(statement)
    with Collection.open(file) as collection:
        for call in (lambda: collection.paths(range(N)), collection.check):
            with pytest.raises(GannetError, match=r"damaged|no item 7"):
                call()
        with pytest.raises(GannetError, match=r"damaged|no item 7"):
            collection.remove([7, 8])
        assert collection.path(9) == "/photos/9.jpg"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["UPDATE segments SET offsets = zeroblob(800)"], "checksum"),
        (["UPDATE segments SET number = 4611686018427387904"], "checksum"),
        (["UPDATE collection SET n_features = 1000000000000"], "checksum|claims to keep"),
        (["UPDATE collection SET next_id = -5"], "checksum|next id"),
        (["UPDATE collection SET n_bits = 100000000000"], "checksum|bytes of codes|features"),
    ],
)
@pytest.mark.parametrize("fitting", [False, True])
def test_crafted_lengths_are_not_believed(
    good: Path, tmp_path: Path, statements: list[str], message: str, fitting: bool
) -> None:
    """Also where the checksums fit the crafted values."""
    file = tmp_path / "c"
    file.write_bytes(good.read_bytes())
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        for statement in statements:
            db.execute(statement)
        if fitting:
            from gannet.collection.segments import _checksum as segment_checksum

            row = db.execute("SELECT * FROM collection").fetchone()[:-1]
            db.execute("UPDATE collection SET checksum = ?", (schema.checksum(*row),))
            number, offsets, codes = db.execute("SELECT number, offsets, codes FROM segments").fetchone()
            db.execute("UPDATE segments SET checksum = ?", (segment_checksum(number, offsets, codes),))
    with pytest.raises(GannetError) as error, Collection.open(file) as collection:
        collection.codes()
    assert "\n" not in str(error.value)
    if not fitting:
        assert "damaged" in str(error.value)


def test_the_last_ids(good: Path, tmp_path: Path) -> None:
    file = tmp_path / "c"
    with Collection.create(file, tiny_model(24)) as collection:
        collection.add(np.zeros((1, 3), np.uint8), ["a"])
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        row = list(db.execute("SELECT * FROM collection").fetchone())
        row[4] = 2**63 - 3
        db.execute("UPDATE collection SET next_id = ?, checksum = ?", (row[4], schema.checksum(*row[:-1])))
    with Collection.open(file) as collection:
        assert collection.add(np.zeros((2, 3), np.uint8), ["b", "c"]).tolist() == [2**63 - 3, 2**63 - 2]
        with pytest.raises(GannetError, match="no ids are left") as error:
            collection.add(np.zeros((1, 3), np.uint8), ["d"])
        assert "\n" not in str(error.value)
        collection.check()
        assert collection.path(2**63 - 2) == "c"
        assert collection.index().search(np.zeros((1, 3), np.uint8), 3)[1].tolist() == [[0, 2**63 - 3, 2**63 - 2]]


def test_ids_of_removed_items_are_restored_only_to_them(good: Path, tmp_path: Path) -> None:
    file = tmp_path / "c"
    file.write_bytes(good.read_bytes())
    with Collection.open(file) as collection:
        codes, features = collection.codes([5, 390]), collection.features([5, 390])
        collection.remove([5, 390])
        digests = [b"%016d" % i for i in (5, 390)]
        assert {digest: list(ids) for digest, ids in collection.removed_ids(digests).items()} == dict(
            zip(digests, [[5], [390]], strict=True)
        )
        for wrong in ([5, 6], [390, 5], [5], [5, 1000]):
            with pytest.raises(GannetError):
                collection.add(codes, ["x", "y"], digests, features=features, ids=wrong)
        ids = collection.add(codes, ["x", "y"], digests, features=features, ids=[5, 390])
        assert ids.tolist() == [5, 390] and collection.paths(ids) == ["x", "y"]
        assert collection.ids.tolist() == list(range(N)) and collection.removed_ids(digests) == {}
        np.testing.assert_array_equal(collection.codes([5, 390]), codes)
        collection.check()
        assert collection.add(codes[:1], ["z"], features=features[:1]).tolist() == [N]


def test_a_damaged_row_leaves_no_open_cursor(good: Path, tmp_path: Path) -> None:
    """Python would print a traceback about the cursor once the file is closed."""
    file = tmp_path / "c"
    raw = bytearray(good.read_bytes())
    at = raw.find(b"/photos/7.jpg")
    while at >= 0:
        raw[at + 8] ^= 1
        at = raw.find(b"/photos/7.jpg", at + 1)
    file.write_bytes(raw)
    program = """
import sys
from gannet.collection import Collection
from gannet.errors import GannetError
try:
    with Collection.open(sys.argv[1]) as collection:
        collection.paths(range(400))
except GannetError as error:
    print(error, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1 and "damaged" in done.stderr
