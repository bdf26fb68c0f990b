"""``gannet sync``, ``--exclude`` and ``--truncated`` with archives and tables of images, alone and in folders."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gannet.collection import Collection
from gannet.data import open_source

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

Names = dict[str, int]  # name of a picture and the number that it is made from


@pytest.fixture
def picture(tmp_path: Path, save_image: Callable) -> Callable[[int], bytes]:
    """Return the function that makes the content of a picture."""
    return lambda number: save_image(tmp_path / "picture.png", number).read_bytes()


@pytest.fixture
def model(tmp_path: Path, picture: Callable, tiny: None, run: Callable) -> Path:
    folder = tmp_path / "learned"
    folder.mkdir()
    for number in range(1000, 1020):
        (folder / f"{number}.png").write_bytes(picture(number))
    assert run("fit", folder, "-o", tmp_path / "m", "--method", "lsh", "--bits", 16).status == 0
    return tmp_path / "m"


def write_tar(path: Path, names: Names, picture: Callable) -> None:
    with tarfile.open(path, "w") as out:
        for name, number in names.items():
            for member, content in [(name, picture(number)), (f"{name}.json", b"{}")]:
                info = tarfile.TarInfo(member)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))


def write_zip(path: Path, names: Names, picture: Callable) -> None:
    with zipfile.ZipFile(path, "w") as out:
        for name, number in names.items():
            out.writestr(name, picture(number))


def write_parquet(path: Path, names: Names, picture: Callable) -> None:
    pq.write_table(pa.table({"jpg": [picture(number) for number in names.values()]}), path)


def write_saved(path: Path, names: Names, picture: Callable) -> None:
    path.mkdir(exist_ok=True)
    table = pa.table({"image": [{"bytes": picture(number), "path": name} for name, number in names.items()]})
    with pa.OSFile(str(path / "data.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    (path / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
    (path / "dataset_info.json").write_text("{}")


def stored(file: Path) -> dict[str, int]:
    with Collection.open(file, readonly=True) as collection:
        collection.check()
        return {item.path: item.id for item in collection.items(collection.ids)}


BEFORE, AFTER = {"a.png": 1, "b.png": 2, "c.png": 3, "d.png": 4}, {"a.png": 1, "b.png": 5, "new.png": 3, "c.png": 6}


@pytest.mark.parametrize("name", ["s.tar", "s.zip"])
def test_members_of_an_archive(tmp_path: Path, model: Path, picture, encoded, run, name: str) -> None:
    write = write_tar if name.endswith("tar") else write_zip
    archive, file = tmp_path / name, tmp_path / "c"
    write(archive, BEFORE, picture)
    assert run("index", archive, "-m", model, "-o", file).status == 0
    ids = stored(file)
    write(archive, AFTER, picture)
    encoded.clear()
    result = run("sync", file, archive, "--exclude", "a.png")
    assert result.status == 0 and result.out.startswith(
        "added 2 items, replaced 1 that had changed, updated the paths of 1 that had moved, removed 1 whose files are "
        "gone: "
    )
    after = stored(file)  # a.png is left out, but the archive holds it
    assert set(after) == {f"{archive}!{member}" for member in AFTER} and len(encoded) == 2
    assert after[f"{archive}!a.png"] == ids[f"{archive}!a.png"]
    assert after[f"{archive}!new.png"] == ids[f"{archive}!c.png"]


def test_shards_of_a_folder(tmp_path: Path, model: Path, picture, encoded, run) -> None:
    folder, file = tmp_path / "shards", tmp_path / "c"
    folder.mkdir()
    for shard, names in {"0.tar": BEFORE, "1.tar": {"x.png": 7, "y.png": 8}, "2.tar": {"z.png": 9}}.items():
        write_tar(folder / shard, names, picture)
    result = run("index", folder, "-m", model, "-o", file, "--exclude", "2.tar")
    assert "left out by pattern: 1 2.tar" in result.err and len(stored(file)) == 6
    (folder / "1.tar").write_bytes((folder / "1.tar").read_bytes()[:600])  # damaged: nothing is known about its items
    write_tar(folder / "0.tar", AFTER, picture)
    result = run("sync", file, folder)
    assert result.status == 0 and "removed 1 whose files are gone" in result.out
    assert {path.removeprefix(f"{folder}/") for path in stored(file)} == {
        "0.tar!a.png", "0.tar!b.png", "0.tar!new.png", "0.tar!c.png", "1.tar!x.png", "1.tar!y.png", "2.tar!z.png"
    }  # fmt: skip
    (folder / "1.tar").unlink()
    assert "removed 2 whose files are gone" in run("sync", file, folder).out


def test_a_tar_that_is_cut_off_between_members_keeps_its_items(tmp_path: Path, model: Path, picture, run) -> None:
    archive, file = tmp_path / "s.tar", tmp_path / "c"
    write_tar(archive, BEFORE, picture)
    assert run("index", archive, "-m", model, "-o", file).status == 0
    with tarfile.open(archive) as opened:
        end = opened.getmember("b.png").offset
    archive.write_bytes(archive.read_bytes()[:end])
    assert run("sync", file, archive).out == f"added 0 items, left 1 unchanged: {file} holds 4\n"


def test_rows_of_tables(tmp_path: Path, model: Path, picture, run) -> None:
    for write, source in ((write_parquet, "p.parquet"), (write_saved, "saved")):
        path, file = tmp_path / source, tmp_path / f"{source}.gannet"
        write(path, BEFORE, picture)
        assert run("index", path, "-m", model, "-o", file).status == 0
        ids = stored(file)
        write(path, {"a": 1, "b": 3}, picture)
        result = run("sync", file, path)
        assert "updated the paths of 1 that had moved" in result.out and "removed 1 whose files are gone" in result.out
        assert stored(file) == {f"{path}#0": ids[f"{path}#0"], f"{path}#1": ids[f"{path}#2"]}


def test_quick_reads_only_shards_that_have_changed(
    tmp_path: Path, model: Path, picture, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, file = tmp_path / "shards", tmp_path / "c"
    folder.mkdir()
    for shard, names in {"0.tar": BEFORE, "1.tar": {"x.png": 7, "y.png": 8}}.items():
        write_tar(folder / shard, names, picture)
        os.utime(folder / shard, (1e9, 1e9))  # a file that changed a moment ago may change again unnoticed
    assert run("index", folder, "-m", model, "-o", file).status == 0
    read: list[int] = []
    kind = type(open_source(folder))
    whole = kind.read
    monkeypatch.setattr(kind, "read", lambda self, index: (read.append(index), whole(self, index))[1])
    assert "left 6 unchanged" in run("sync", file, folder, "--quick").out and read == []
    write_tar(folder / "1.tar", {"x.png": 7, "y.png": 10}, picture)
    os.utime(folder / "1.tar", (1e9 + 1, 1e9 + 1))
    assert "replaced 1 that had changed, left 5 unchanged" in run("sync", file, folder, "--quick").out
    assert set(read) == {4, 5}


def test_exclude_and_truncated(tmp_path: Path, model: Path, picture, run) -> None:
    def cut(number: int) -> bytes:
        content = picture(number)
        return content if number % 2 else content[: len(content) * 2 // 3]

    numbers = {f"{number}.png": number for number in range(4)}
    folder, splits = tmp_path / "tables", tmp_path / "splits"
    folder.mkdir()
    splits.mkdir()
    write_parquet(folder / "0.parquet", numbers, cut)
    write_parquet(folder / "1.parquet", numbers, picture)
    for split in ("train", "test"):
        write_saved(splits / split, numbers, cut)
    (splits / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    for source, exclude in ((folder, "1.parquet"), (splits, "test")):
        file = tmp_path / f"{source.name}.gannet"
        result = run("index", source, "-m", model, "-o", file, "--exclude", exclude)
        assert "added 2 items, skipped 2" in result.out and f"left out by pattern: 1 {exclude}" in result.err
        assert "added 2 items" in run("sync", file, source, "--exclude", exclude, "--truncated").out
    for one in (folder / "0.parquet", splits / "train"):
        result = run("sync", file, one, "--exclude", "0")
        assert result.status == 2 and "leave --exclude out" in result.err and result.err.count("\n") == 1
