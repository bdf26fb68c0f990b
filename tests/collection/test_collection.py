"""The collection file keeps its contents, also after kills, full disks, damage and changes by other programs."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gannet.codes import n_bytes, pack
from gannet.collection import segments, storage
from gannet.collection.collection import Collection
from gannet.errors import GannetError
from tiny_model import tiny_model

OTHER = tiny_model(24, seed=1)


def random_codes(n: int, n_bits: int, seed: int = 0) -> np.ndarray:
    return pack(np.random.default_rng(seed).random((n, n_bits)) < 0.5)


def names(n: int, start: int = 0) -> list[str]:
    return [f"photos/{i}.jpg" for i in range(start, start + n)]


def digests(n: int, start: int = 0) -> list[bytes]:
    return [hashlib.sha256(str(i).encode()).digest() for i in range(start, start + n)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A collection of 5,000 items of 24 bits: two segments, the second not full."""
    path = tmp_path / "photos.gannet"
    with Collection.create(path, tiny_model(24)) as collection:
        collection.add(random_codes(5000, 24), names(5000), digests(5000))
    return path


def one_line(error: pytest.ExceptionInfo[GannetError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("n_bits", [1, 7, 24, 63, 64, 65, 128])
def test_everything_comes_back(tmp_path: Path, n_bits: int) -> None:
    path, codes, model = tmp_path / "c", random_codes(9000, n_bits), tiny_model(n_bits)
    with Collection.create(path, model) as collection:
        first = collection.add(codes[:1], ["a"])
        second = collection.add(codes[1:], names(8999), digests(8999))
    assert [p.name for p in tmp_path.iterdir()] == ["c"]
    with Collection.open(path, readonly=True) as collection:
        ids, stored = collection.ids, collection.codes()
        np.testing.assert_array_equal(ids, np.concatenate([first, second]))
        np.testing.assert_array_equal(stored, codes)
        assert ids.dtype == np.int64 and stored.dtype == np.uint8 and stored.shape == (9000, n_bytes(n_bits))
        assert (np.diff(ids) > 0).all()
        assert len(collection) == 9000
        assert collection.n_bits == n_bits
        assert collection.model() == model.to_bytes()
        assert collection.model_id == hashlib.sha256(model.to_bytes()).hexdigest() == model.id
        some = np.array([ids[8999], ids[0], ids[5000], ids[0]])
        np.testing.assert_array_equal(collection.codes(some), codes[[8999, 0, 5000, 0]])
        assert collection.paths(some) == ["photos/8998.jpg", "a", "photos/4999.jpg", "a"]
        assert collection.path(int(ids[1])) == "photos/0.jpg"
        info = collection.info()
        assert info["items"] == 9000 and info["bits"] == n_bits and info["bytes"] == path.stat().st_size
        assert info["model_id"] == collection.model_id and info["created"] <= info["changed"]
        collection.check()


def test_an_empty_collection(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c", tiny_model(7)) as collection:
        ids, codes = collection.ids, collection.codes()
        assert ids.shape == (0,) and codes.shape == (0, 1) and len(collection) == 0
        assert collection.add(codes, []).shape == (0,)
        assert collection.remove([]) == 0
        assert collection.paths([]) == [] and collection.codes([]).shape == (0, 1)
        assert collection.find_path("a").shape == (0,) and collection.find_digests([]) == {}
        collection.check()


def test_index_searches_the_stored_codes(file: Path) -> None:
    with Collection.open(file) as collection:
        collection.remove([0, 7])
        ids, codes = collection.ids, collection.codes()
        distances, found = collection.index().search(codes[:3], 1)
    np.testing.assert_array_equal(distances, 0)
    for code, id_ in zip(codes[:3], found[:, 0], strict=True):
        assert id_ == ids[(codes == code).all(axis=1)].min()


def test_ids_are_never_used_again(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Collection.create(path, tiny_model(8)) as collection:
        ids = collection.add(random_codes(3, 8), ["a", "b", "c"])
        assert collection.remove(ids) == 3
    with Collection.open(path) as collection:
        assert collection.add(random_codes(1, 8), ["a"])[0] > ids.max()


def test_removing_an_unknown_id_removes_nothing(file: Path) -> None:
    with Collection.open(file) as collection:
        with pytest.raises(GannetError, match=r"no item 5000, 6000, 7000 and 2 more") as error:
            collection.remove([3, 9000, 5000, 6000, 7000, 8000])
        one_line(error)
        assert len(collection) == 5000 and collection.path(3) == "photos/3.jpg"
        assert collection.remove([3, 3, 4]) == 2
        for call in (collection.path, collection.codes, collection.remove):
            with pytest.raises(GannetError, match="no item 3;"):
                call(3)
        with pytest.raises(GannetError, match="no item -1;"):
            collection.remove(-1)
        collection.check()


def test_find_by_path_and_by_content(file: Path) -> None:
    with Collection.open(file) as collection:
        again = collection.add(random_codes(1, 24), ["photos/3.jpg"], digests(1, 2000))
        np.testing.assert_array_equal(collection.find_path("photos/3.jpg"), [3, again[0]])
        assert collection.find_path("photos/").size == 0
        found = collection.find_digests([*digests(1500, 1000), *digests(2, 9000)])
        assert found.keys() == set(digests(1500, 1000))
        assert found[digests(1, 1000)[0]] == [1000] and found[digests(1, 2000)[0]] == [2000, again[0]]


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(codec="utf-8")))
def test_any_file_name_comes_back(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("names") / "c"
    raw = bytes(range(128, 256))
    stored = [text, os.fsdecode(raw), raw.decode("utf-8", "surrogateescape") + text]
    with Collection.create(path, tiny_model(8)) as collection:
        ids = collection.add(random_codes(3, 8), stored)
        assert collection.paths(ids) == stored
        for name in stored:
            assert collection.find_path(name).size >= 1
        collection.check()


def test_bad_arguments(file: Path) -> None:
    with Collection.open(file) as collection:
        codes = random_codes(2, 24)
        for arguments, message in [
            ((random_codes(2, 32), names(2)), r"shape \(n, 3\)"),
            ((codes.astype(np.int64), names(2)), "uint8"),
            ((codes, names(3)), "a list of 2, not a list of 3"),
            ((codes, "ab"), "a list of 2, not a str"),
            ((codes, [Path("a"), Path("b")]), "str"),
            ((codes, ["a", "\ud800"]), "str"),
            ((codes, names(2), digests(1)), "a list of 2, not a list of 1"),
            ((codes, names(2), [b"", b"a"]), "not empty"),
            ((codes, names(2), ["a", "b"]), "bytes"),
        ]:
            with pytest.raises(GannetError, match=message) as error:
                collection.add(*arguments)
            one_line(error)
        for ids in ([0.5], ["a"], [[1, 2]], [True]):
            with pytest.raises(GannetError, match="whole numbers"):
                collection.remove(ids)
        assert len(collection) == 5000
    with pytest.raises(GannetError, match="closed"):
        len(collection)
    collection.close()
    with pytest.raises(GannetError, match="at least 1 bit"):
        Collection.create(file, tiny_model(0), overwrite=True)
    assert Collection.open(file).n_bits == 24


def small_items(max_size: int) -> st.SearchStrategy[list[tuple[int, str, bytes]]]:
    item = st.tuples(st.integers(0, 2**7 - 1), st.sampled_from("abc\udcff"), st.sampled_from(digests(4)))
    return st.lists(item, max_size=max_size)


class CollectionMachine(RuleBasedStateMachine):
    """A collection behaves like a dict of items."""

    def __init__(self) -> None:
        super().__init__()
        self.old_size, segments.SIZE = segments.SIZE, 8  # so that a few items fill several segments
        self.folder = Path(tempfile.mkdtemp())
        self.file = self.folder / "c"
        self.collection = Collection.create(self.file, tiny_model(7))
        self.items: dict[int, tuple[int, str, bytes]] = {}
        self.next_id = 0

    @rule(items=small_items(20))
    def add(self, items: list[tuple[int, str, bytes]]) -> None:
        codes = np.array([[code << 1] for code, _, _ in items], np.uint8).reshape(-1, 1)
        ids = self.collection.add(codes, [path for _, path, _ in items], [digest for *_, digest in items])
        assert ids.tolist() == list(range(self.next_id, self.next_id + len(items)))
        self.next_id += len(items)
        self.items.update(zip(ids.tolist(), items, strict=True))

    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.items)), unique=True)) if self.items else []
        assert self.collection.remove(ids) == len(ids)
        for id_ in ids:
            del self.items[id_]

    @rule(id_=st.integers(-9, 200))
    def remove_one(self, id_: int) -> None:
        if id_ in self.items:
            del self.items[id_]
            assert self.collection.remove(id_) == 1
        else:
            with pytest.raises(GannetError, match="no item"):
                self.collection.remove([*self.items, id_])

    @rule(readonly=st.booleans())
    def reopen(self, readonly: bool) -> None:
        self.collection.close()
        with Collection.open(self.file, readonly=readonly) as collection:
            collection.check()
        self.collection = Collection.open(self.file)

    @rule(path=st.sampled_from("abc\udcff"), digest=st.sampled_from(digests(4)))
    def find(self, path: str, digest: bytes) -> None:
        expected = [id_ for id_, item in self.items.items() if item[1] == path]
        assert self.collection.find_path(path).tolist() == expected
        expected = [id_ for id_, item in self.items.items() if item[2] == digest]
        assert self.collection.find_digests([digest, b"x"]) == ({digest: expected} if expected else {})

    @invariant()
    def same(self) -> None:
        ids, codes = self.collection.ids, self.collection.codes()
        assert ids.tolist() == list(self.items)
        assert codes[:, 0].tolist() == [code << 1 for code, _, _ in self.items.values()]
        assert self.collection.paths(ids) == [path for _, path, _ in self.items.values()]
        np.testing.assert_array_equal(self.collection.codes(ids[::-1]), codes[::-1])
        assert len(self.collection) == len(self.items)

    def teardown(self) -> None:
        self.collection.check()
        self.collection.close()
        segments.SIZE = self.old_size
        shutil.rmtree(self.folder)


TestCollectionMachine = CollectionMachine.TestCase
TestCollectionMachine.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


# Create -------------------------------------------------------------------------------------------


def test_create_keeps_an_existing_file(file: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(GannetError, match="exists already") as error:
        Collection.create(file, tiny_model(24))
    one_line(error)
    assert file.read_bytes() == before
    other = tiny_model(65, seed=1)
    with Collection.create(file, other, overwrite=True) as collection:
        assert len(collection) == 0 and collection.n_bits == 65 and collection.model() == other.to_bytes()
    assert list(file.parent.iterdir()) == [file]


def test_create_overwrites_a_file_that_is_not_a_collection(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a collection")
    Collection.create(path, tiny_model(8), overwrite=True).close()
    Collection.open(path).close()
    with pytest.raises(GannetError, match="is a folder"):
        Collection.create(tmp_path, tiny_model(8), overwrite=True)


def test_create_where_no_folder_is(tmp_path: Path) -> None:
    with pytest.raises(GannetError, match="check that its folder exists") as error:
        Collection.create(tmp_path / "none" / "c", tiny_model(8))
    one_line(error)


def test_create_never_replaces_a_file_made_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, publish = tmp_path / "c", storage.publish

    def publish_late(temporary: Path, *arguments: object) -> None:
        path.write_text("mine")
        publish(temporary, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(storage, "publish", publish_late)
    with pytest.raises(GannetError, match="exists already"):
        Collection.create(path, tiny_model(8))
    assert path.read_text() == "mine" and list(tmp_path.iterdir()) == [path]


def test_create_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    Collection.create(tmp_path / "c", tiny_model(8)).close()
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_overwrite_waits_for_a_writer(file: Path) -> None:
    before = file.read_bytes()
    with another_writer(file), pytest.raises(GannetError, match="another program"):
        Collection.create(file, OTHER, overwrite=True, timeout=0.1)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_a_replaced_collection_is_not_written(file: Path) -> None:
    with Collection.open(file) as old:
        Collection.create(file, OTHER, overwrite=True).close()
        with pytest.raises(GannetError, match="open it again"):
            old.add(random_codes(1, 24), ["a"])
    with Collection.open(file) as new:
        new.check()
        assert len(new) == 0 and new.model_id == OTHER.id


@pytest.mark.parametrize("removed", [False, True])
def test_a_left_over_journal_does_not_reach_a_new_file(file: Path, removed: bool) -> None:
    journal = cut_off(file, keep=True)
    if removed:
        file.unlink()
    with Collection.create(file, OTHER, overwrite=not removed) as collection:
        collection.check()
        assert len(collection) == 0 and collection.model_id == OTHER.id
    assert not journal.exists()


# Kill ---------------------------------------------------------------------------------------------

CUT_OFF = """
import os, signal, sys, numpy as np
from gannet.collection.collection import Collection
collection = Collection.open(sys.argv[1])
collection._db.execute("PRAGMA cache_size = 10")
collection._db.set_progress_handler(lambda: os.kill(os.getpid(), signal.SIGKILL), int(sys.argv[2]))
collection.add(np.zeros((20000, 3), np.uint8), ["x"] * 20000, [os.urandom(16) for _ in range(20000)])
"""


def run(program: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def cut_off(file: Path, keep: bool = False, instructions: int = 300_000) -> Path:
    """Kill a writer during a change of ``file``; return the path of the log that it leaves."""
    with run(CUT_OFF, file, instructions) as process:
        assert process.wait(30) == -signal.SIGKILL
    journal = file.with_name(file.name + "-wal")
    assert journal.exists() or not keep
    return journal


@pytest.mark.parametrize("instructions", [100, 30_000, 200_000, 400_000])
@pytest.mark.parametrize("readonly", [False, True])
def test_a_change_cut_off_is_rolled_back(file: Path, instructions: int, readonly: bool) -> None:
    with Collection.open(file) as collection:
        ids, codes = collection.ids, collection.codes()
    journal = cut_off(file, instructions > 1000, instructions)
    with Collection.open(file, readonly=readonly) as collection:
        collection.check()
        np.testing.assert_array_equal(collection.ids, ids)
        np.testing.assert_array_equal(collection.codes(), codes)
    assert list(file.parent.iterdir()) == [file] and not journal.exists()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_within_create_leaves_the_existing_file(file: Path, overwrite: bool) -> None:
    path = file if overwrite else file.with_name("new")
    program = (
        "import os, signal, sys; import numpy as np; from gannet.collection import storage\n"
        "from gannet.collection.collection import Collection\n"
        "from gannet.encoders import Linear; from gannet.model import Model\n"
        "storage.publish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "arrays = [np.zeros(shape, np.float32) for shape in ((2**15,), (2**15, 8), (8,))]\n"
        "Collection.create(sys.argv[1], Model(Linear(*arrays), 'lsh'), overwrite=True)"
    )
    with run(program, path) as process:
        assert process.wait(30) == -signal.SIGKILL
    if overwrite:
        with Collection.open(path) as collection:
            collection.check()
            assert len(collection) == 5000
    else:
        assert not path.exists()
        Collection.create(path, tiny_model(8)).close()


# Bad files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["text", "empty", "sqlite", "folder", "nothing", "newer", "table", "tiny"])
def test_other_files_are_refused(file: Path, make: str) -> None:
    path = file.with_name("other")
    expected = {
        "folder": "is a folder; give the file",
        "nothing": "there is no collection",
        "newer": "version 4, newer than this Gannet reads; upgrade",
        "table": "its tables are not those",
    }.get(make, "is not a Gannet collection")
    if make == "text":
        path.write_text("a long enough text, that is not an SQLite file at all\n" * 100)
    elif make == "empty":
        path.touch()
    elif make == "folder":
        path.mkdir()
    elif make == "tiny":
        path.write_bytes(file.read_bytes()[:50])
    elif make == "sqlite":
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE items (id)")
    elif make in ("newer", "table"):
        shutil.copy(file, path)
        with contextlib.closing(sqlite3.connect(path)) as db:
            trigger = "CREATE TRIGGER t AFTER INSERT ON items BEGIN DELETE FROM items; END"
            db.execute("PRAGMA user_version = 4" if make == "newer" else trigger)
    with pytest.raises(GannetError, match=expected) as error:
        Collection.open(path)
    assert str(path) in one_line(error)


@pytest.mark.parametrize("part", [0.02, 0.3, 0.99])
def test_a_truncated_file_is_refused(file: Path, part: float) -> None:
    with file.open("r+b") as stream:
        stream.truncate(int(file.stat().st_size * part))
    with pytest.raises(GannetError, match=r"damaged: it was cut short.*gannet index") as error:
        Collection.open(file)
    one_line(error)


def test_check_finds_any_changed_part(file: Path) -> None:
    good = file.read_bytes()
    with Collection.open(file) as collection:
        code = collection.codes([1234, 1235]).tobytes()
        model = collection.model()
    for needle, call in [
        (code, lambda c: c.codes()),
        (code, lambda c: c.ids),
        (model[:200], lambda c: c.model()),
        (b"photos/77.jpg", None),
        (digests(1, 77)[0], None),
    ]:
        at = good.index(needle)
        file.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        with Collection.open(file) as collection:
            for broken in filter(None, (call, Collection.check)):
                with pytest.raises(GannetError, match="damaged") as error:
                    broken(collection)
                one_line(error)


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM items WHERE id = 7",
        "UPDATE collection SET next_id = 3",
        "DELETE FROM segments WHERE number = 1",
        "UPDATE model SET data = x'00'",
        "UPDATE segments SET codes = x'00'",
    ],
)
def test_check_finds_parts_that_do_not_agree(file: Path, change: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute(change)
    with pytest.raises(GannetError, match="damaged") as error, Collection.open(file) as collection:
        collection.check()
    one_line(error)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_file_of_noise_is_an_error_or_right(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    file = tmp_path_factory.mktemp("noise") / "c"
    codes = random_codes(300, 24)
    with Collection.create(file, tiny_model(24)) as collection:
        collection.add(codes, names(300), digests(300))
    raw = bytearray(file.read_bytes())
    for at in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=20)):
        raw[at] ^= data.draw(st.integers(1, 255))
    file.write_bytes(raw)
    with contextlib.suppress(GannetError), Collection.open(file) as collection:
        np.testing.assert_array_equal(collection.codes(), codes)
        np.testing.assert_array_equal(collection.ids, np.arange(300))
        collection.paths([0, 299])
        collection.check()


# Other programs --------------------------------------------------------------------------------------


@contextlib.contextmanager
def another_writer(file: Path, lock: str = "IMMEDIATE"):
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute(f"BEGIN {lock}")
        yield


def test_a_full_disk_loses_nothing(file: Path) -> None:
    with Collection.open(file) as collection:
        (pages,) = collection._db.execute("PRAGMA page_count").fetchone()
        collection._db.execute(f"PRAGMA max_page_count = {pages + 5}")
        with pytest.raises(GannetError, match="no space left") as error:
            collection.add(random_codes(5000, 24), names(5000), digests(5000))
        one_line(error)
        collection.check()
        assert len(collection) == 5000
        collection._db.execute("PRAGMA max_page_count = 1000000")
        assert collection.add(random_codes(1, 24), ["a"]).tolist() == [5000]
        collection.check()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_in_create_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(*_: object) -> None:
        with Path("/dev/full").open("wb", buffering=0) as stream:
            stream.write(b"x")

    monkeypatch.setattr(storage, "publish", fill)
    with pytest.raises(GannetError, match="no space left"):
        Collection.create(tmp_path / "c", tiny_model(8))
    assert not list(tmp_path.iterdir())


def test_locked_by_another_program(file: Path) -> None:
    with another_writer(file), Collection.open(file, timeout=0.1) as collection:
        assert len(collection) == 5000  # reading goes on
        with pytest.raises(GannetError, match="another program; try again") as error:
            collection.add(random_codes(1, 24), ["a"])
        one_line(error)
    with another_writer(file, "EXCLUSIVE"), pytest.raises(GannetError, match="another program"):
        Collection.open(file, timeout=0.1)
    with Collection.open(file) as collection:
        assert len(collection) == 5000


def test_waits_for_another_program(file: Path) -> None:
    held = threading.Event()

    def hold() -> None:
        with another_writer(file, "EXCLUSIVE"):
            held.set()
            time.sleep(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    with Collection.open(file) as collection:
        assert collection.add(random_codes(1, 24), ["a"]).size == 1
    thread.join()


def test_readonly_refuses_changes(file: Path) -> None:
    before = file.read_bytes()
    with Collection.open(file, readonly=True) as collection:
        for change in (lambda: collection.remove(0), lambda: collection.add(random_codes(1, 24), ["a"])):
            with pytest.raises(GannetError, match="for reading only") as error:
                change()
            one_line(error)
        collection.check()
    assert file.read_bytes() == before


READ_AS_NOBODY = """
import os, sys, numpy as np
from gannet.errors import GannetError
from gannet.collection.collection import Collection
np.unique([1])  # imports modules that the user nobody cannot read
if os.geteuid() == 0:
    os.seteuid(65534)  # root may read and write everything
try:
    collection = Collection.open(sys.argv[1])
    collection.check()
    print(len(collection), collection.path(3))
    collection.add(np.zeros((1, 3), np.uint8), ["a"])
except GannetError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
@pytest.mark.parametrize("left", ["", "-wal -shm", "-wal"])
def test_a_file_that_may_not_be_written(file: Path, left: str) -> None:
    if left:
        cut_off(file, keep=True)
    with tempfile.TemporaryDirectory() as name:  # other users cannot enter pytest's folders
        folder = Path(name)
        for suffix in ["", *left.split()]:
            shutil.copy(file.with_name(file.name + suffix), folder)
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        with run(READ_AS_NOBODY, folder / file.name) as process:
            output = process.communicate()[0].splitlines()
        folder.chmod(0o755)
    if left == "-wal":
        assert len(output) == 1 and "was interrupted; open it once with permission to write" in output[0]
    else:
        assert output[0] == "5000 photos/3.jpg" and "open for reading only" in output[1]


def test_one_collection_in_many_threads(file: Path) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for step in range(10):
                ids = collection.add(random_codes(3, 24, step), [f"{number} {step}"] * 3)
                assert collection.paths(ids) == [f"{number} {step}"] * 3
                assert collection.remove(ids[:1]) == 1
        except BaseException as error:
            failures.append(error)

    with Collection.open(file) as collection:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(collection) == 5000 + 4 * 10 * 2
        collection.check()


def test_opening_needs_no_heavy_library(file: Path) -> None:
    program = (
        "import sys; from gannet.collection.collection import Collection; Collection.open(sys.argv[1]).codes()\n"
        "print([name for name in ('torch', 'sklearn', 'numba', 'scipy') if name in sys.modules])"
    )
    with run(program, file) as process:
        assert process.communicate()[0] == "[]\n"
