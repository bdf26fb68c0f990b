"""``gannet sync`` adds new files, removes items whose files are gone, and keeps the ids of moved files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from gannet import data
from gannet.codes import unpack
from gannet.collection import Collection
from gannet.collection.items import Item, Origin
from gannet.data import files


@pytest.fixture(autouse=True)
def forget(image_collection: Path, cache: Path, encoded: list[int]) -> None:
    """Start each test with an empty cache of features, so that every encoding is counted."""
    shutil.rmtree(cache / "features")
    encoded.clear()


def items(file: Path) -> dict[str, Item]:
    with Collection.open(file, readonly=True) as collection:
        collection.check()
        ids = collection.ids
        stored = collection.items_at(collection.paths(ids))
        assert [item.id for item in sorted(stored)] == ids.tolist()
        return {item.path: item._replace(origin=Origin()) for item in stored}


def test_sync_does_all_at_once(photos: Path, image_collection: Path, encoded, save_image, run) -> None:
    before = items(image_collection)
    with Collection.open(image_collection) as collection:
        codes = dict(zip(collection.ids.tolist(), collection.codes().tolist(), strict=True))
    (photos / "new").mkdir()
    (photos / "01.png").rename(photos / "new" / "one.png")  # moved
    shutil.copy(photos / "02.png", photos / "copy.png")  # copied
    (photos / "03.png").unlink()  # gone
    save_image(photos / "04.png", 1000)  # changed
    save_image(photos / "added.png", 1001)  # new
    (photos / "05.png").rename(photos / "tmp.png")  # two files swap their names
    (photos / "06.png").rename(photos / "05.png")
    (photos / "tmp.png").rename(photos / "06.png")
    result = run("sync", image_collection, photos)
    assert (result.status, result.err) == (0, "")
    assert result.out == (
        "added 3 items, replaced 1 that had changed, updated the paths of 3 that had moved, "
        f"removed 1 whose files are gone, left 55 unchanged: {image_collection} holds 61\n"
    )
    assert len(encoded) == 2  # the changed and the new one
    after = items(image_collection)
    assert set(after) == {str(path) for path in photos.rglob("*.png")}
    for path, item in after.items():
        assert item.digest == data.digest(Path(path).read_bytes())
    assert after[str(photos / "new" / "one.png")].id == before[str(photos / "01.png")].id
    assert after[str(photos / "05.png")].id == before[str(photos / "06.png")].id
    assert after[str(photos / "06.png")].id == before[str(photos / "05.png")].id
    with Collection.open(image_collection) as collection:
        for path, item in before.items():
            if path in after and after[path].id == item.id:
                assert collection.codes(item.id)[0].tolist() == codes[item.id]
        copy, original = (after[str(photos / name)].id for name in ("copy.png", "02.png"))
        assert collection.codes(copy).tolist() == collection.codes(original).tolist()
    again = run("sync", image_collection, photos)
    assert again.out == f"added 0 items, left 61 unchanged: {image_collection} holds 61\n"
    assert len(encoded) == 2 and items(image_collection) == after


def test_add_encodes_new_files_follows_moved_ones_and_drops_nothing(
    photos: Path, image_collection: Path, encoded, save_image, run
) -> None:
    (photos / "01.png").rename(photos / "one.png")
    (photos / "03.png").unlink()
    save_image(photos / "04.png", 1000)
    result = run("add", image_collection, photos)
    assert result.out.startswith(
        "added 1 items, replaced 1 that had changed, updated the paths of 1 that had moved, left 57 unchanged: "
    )
    assert len(encoded) == 1
    after = items(image_collection)
    assert {str(photos / name) for name in ("03.png", "one.png")} <= set(after) and len(after) == 60
    assert after[str(photos / "one.png")].id == 1 and str(photos / "01.png") not in after


def test_items_outside_the_folder_are_not_changed(photos: Path, image_collection: Path, save_image, run) -> None:
    beside = photos.with_name("photos2")
    beside.mkdir()
    save_image(beside / "a.png", 500)
    assert run("add", image_collection, beside).status == 0
    (beside / "a.png").unlink()
    assert "removed" not in run("sync", image_collection, photos).out
    (photos / "sub" / "last.png").unlink()
    save_image(photos / "sub" / "other.png", 501)
    assert "removed 1 whose files are gone" in run("sync", image_collection, photos / "sub").out
    assert str(beside / "a.png") in items(image_collection)


def test_existing_files_that_a_walk_skips_are_kept(
    tmp_path: Path, photos: Path, image_collection: Path, save_image, run
) -> None:
    import zipfile

    hidden, archive = photos / ".hidden" / "a.png", photos / "a.zip"
    hidden.parent.mkdir()
    save_image(hidden, 500)
    with zipfile.ZipFile(archive, "w") as file:
        file.write(save_image(tmp_path / "b.png", 501), "b.png")
    for source in (hidden, archive):
        assert run("add", image_collection, source).status == 0
    assert "removed" not in run("sync", image_collection, photos).out
    hidden.unlink()
    archive.unlink()
    assert "removed 2 whose files are gone" in run("sync", image_collection, photos).out


def test_nothing_is_dropped_where_the_folder_is_not_there_or_empty(
    tmp_path: Path, photos: Path, image_collection: Path, matrix: Path, run
) -> None:
    before = items(image_collection)
    photos.rename(tmp_path / "elsewhere")
    cases = {photos: "No such file", tmp_path / "empty": "no images", matrix: "no folder or archive of images"}
    (tmp_path / "empty").mkdir()
    cases |= {tmp_path / "elsewhere" / "00.png": "no folder or archive of images"}
    for source, words in cases.items():
        result = run("sync", image_collection, source)
        assert result.status == 2 and words in result.err and result.err.count("\n") == 1
    photos.mkdir()
    assert run("sync", image_collection, photos).status == 2  # for example, an unmounted disk
    assert items(image_collection) == before


def test_nothing_is_dropped_behind_a_link_to_a_disk_that_is_not_mounted(
    tmp_path: Path, photos: Path, image_collection: Path, save_image, run
) -> None:
    disk = tmp_path / "disk"
    (disk / "2026").mkdir(parents=True)
    save_image(disk / "2026" / "a.png", 500)
    (photos / "linked").symlink_to(disk)
    assert run("sync", image_collection, photos).status == 0
    disk.rename(tmp_path / "away")
    item = str(photos / "linked" / "2026" / "a.png")
    assert item in items(image_collection)
    assert "removed" not in run("sync", image_collection, photos).out
    assert item in items(image_collection)
    (photos / "linked").unlink()
    assert "removed 1 whose files are gone" in run("sync", image_collection, photos).out


def test_a_file_that_cannot_be_read_keeps_its_item(
    photos: Path, image_collection: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = items(image_collection)
    (photos / "07.png").write_bytes(b"cut sho")  # changed, and no longer an image
    real = files.read_file

    def read(path: str) -> bytes:
        if path.endswith("08.png"):
            raise data.images.GannetError("cannot be read: Input/output error")
        if path.endswith("09.png"):
            Path(path).unlink()  # vanishes between listing and reading
        return real(path)

    monkeypatch.setattr(files, "read_file", read)
    result = run("sync", image_collection, photos)
    assert result.status == 0 and "removed 1 whose files are gone" in result.out and "skipped 3" in result.out
    for name, reason in (("07", "not an image"), ("08", "Input/output error"), ("09", "No such file")):
        assert any(f"{name}.png: " in line and reason in line for line in result.err.splitlines())
    del before[str(photos / "09.png")]
    assert items(image_collection) == before


def test_a_file_that_changes_while_it_is_read(
    photos: Path, image_collection: Path, save_image, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored digest is the digest of the encoded content, even if the file was different at first."""
    save_image(photos / "new.png", 1000)
    real, seen = files.read_file, []

    def read(path: str) -> bytes:
        content = real(path)
        if path.endswith("new.png"):
            seen.append(content)
            save_image(photos / "new.png", 1000 + len(seen))
        return content

    monkeypatch.setattr(files, "read_file", read)
    assert run("sync", image_collection, photos).status == 0
    assert len(seen) == 2 and items(image_collection)[str(photos / "new.png")].digest == data.digest(seen[1])
    monkeypatch.undo()


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, save_image, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fstat = save_image(tmp_path / "a.png", 0), os.fstat

    def grow(number: int) -> os.stat_result:
        info = fstat(number)
        with path.open("ab") as file:
            file.write(b"more")
        return info

    monkeypatch.setattr(files.os, "fstat", grow)
    with pytest.raises(data.images.GannetError, match="it changed while it was read"):
        files.read_file(str(path))


def test_names_that_are_not_utf8_are_followed(photos: Path, image_collection: Path, run) -> None:
    try:
        odd = Path(os.fsdecode(os.fsencode(photos) + b"/\xff\xe4.png"))
        (photos / "00.png").rename(odd)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    assert "updated the paths of 1 that had moved" in run("sync", image_collection, photos).out
    assert items(image_collection)[str(odd)].id == 0
    removed = run("remove", image_collection, odd)
    assert removed.status == 0 and str(odd) not in items(image_collection)


def test_remove_by_path(photos: Path, image_collection: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos)
    result = run("remove", image_collection, "00.png", photos / "01.png", "1", "7")
    assert result.out == f"removed 3 items: {image_collection} holds 57\n"
    before = items(image_collection)
    refused = run("remove", image_collection, "02.png", "none.png")
    assert refused.status == 2 and "has the path none.png" in refused.err and items(image_collection) == before


def test_info_and_check(photos: Path, image_collection: Path, run) -> None:
    result = run("info", image_collection, "--json")
    info = json.loads(result.out)
    with Collection.open(image_collection) as collection:
        bits = unpack(collection.codes(), 16)
        assert info["model"] == {
            "id": collection.model_id, "method": "lsh", "backbone": "tiny", "image_size": 16
        }  # fmt: skip
        assert (info["items"], info["bits"], info["features"]) == (60, 16, None)
        assert info["bytes"] == image_collection.stat().st_size and info["changed"] == collection.info()["changed"]
    share = bits.mean(axis=0)
    inner = share[(share > 0) & (share < 1)]
    entropy = -(inner * np.log2(inner) + (1 - inner) * np.log2(1 - inner)).sum() / 16
    assert info["codes"]["entropy"] == pytest.approx(entropy)
    assert (info["codes"]["balance_min"], info["codes"]["balance_max"]) == pytest.approx((share.min(), share.max()))
    assert info["codes"]["distinct"] == len(np.unique(bits, axis=0))
    text = run("info", image_collection)
    assert text.status == 0 and "last change" in text.out and "lsh, tiny" in text.out
    assert run("check", image_collection).out == f"{image_collection} is sound: 60 items\n"
    raw = bytearray(image_collection.read_bytes())
    at = raw.index(str(photos / "07.png").encode())
    raw[at] ^= 1
    image_collection.write_bytes(raw)
    broken = run("check", image_collection)
    assert broken.status == 2 and "damaged" in broken.err and broken.err.count("\n") == 1


def test_matrices_are_added_once(matrix: Path, matrix_collection: Path, vectors, run) -> None:
    assert run("add", matrix_collection, matrix).out.startswith("added 0 items, left 100 unchanged")
    vectors[3] = -vectors[3]
    np.save(matrix, vectors)
    assert run("add", matrix_collection, matrix).out.startswith("added 1 items, replaced 1 that had changed, left 99")
    assert len(items(matrix_collection)) == 100


def test_a_model_that_is_not_the_collections(photos: Path, image_collection: Path, tmp_path: Path, run) -> None:
    from gannet.collection.indexing import add_encoded, add_source, encode_source
    from gannet.errors import GannetError
    from gannet.image_hasher import ImageHasher

    other = tmp_path / "other.model"
    assert run("fit", photos, "-o", other, "--method", "lsh", "--bits", 16, "--seed", 5).status == 0
    hasher, before = ImageHasher.load(other), items(image_collection)
    with Collection.open(image_collection) as collection:
        assert ImageHasher.load(tmp_path / "photos.model").model.id == collection.model_id
        source = data.open_source(photos)
        encoded = encode_source(hasher, source)
        for call in (
            lambda: add_source(collection, source, hasher),
            lambda: add_encoded(collection, encoded),
            lambda: collection.add(encoded.codes, encoded.paths, model_id=hasher.model.id),
        ):
            with pytest.raises(GannetError, match="was made with another model") as error:
                call()
            assert "\n" not in str(error.value)
    assert items(image_collection) == before


@pytest.mark.parametrize("command", ["sync", "info", "check", "add", "remove"])
def test_help_has_an_example(command: str, run) -> None:
    assert f"Example: gannet {command} " in run(command, "--help").out


# What holds an item -------------------------------------------------------------------------------


def forget_origins(file: Path) -> None:
    """Make the items as unknown as those of a collection of version 0.1, which was upgraded."""
    with Collection.open(file) as collection:
        stored = collection.items(collection.ids)
        collection.rename([item.id for item in stored], [item.path for item in stored])


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("name", ["#a/x.png", "!a/x.png", "b/#x.png", "b/!x.png", "Trip#2/x.png", "Trip!2/#3/x.png"])
def test_deleted_files_with_marks_in_their_paths_are_removed(
    photos: Path, image_collection: Path, save_image, run, name: str, old: bool
) -> None:
    (photos / "Trip").mkdir()
    save_image(photos / "Trip" / "y.png", 800)
    (photos / name).parent.mkdir(parents=True)
    save_image(photos / name, 801)
    save_image((photos / name).with_name("other.png"), 802)
    assert run("sync", image_collection, photos).status == 0
    if old:
        forget_origins(image_collection)
    (photos / name).unlink()
    assert "removed 1 whose files are gone" in run("sync", image_collection, photos).out
    assert str(photos / name) not in items(image_collection)
    shutil.rmtree((photos / name).parent)
    assert "removed 1 whose files are gone" in run("sync", image_collection, photos).out


def zip_of(path: Path, pictures: dict[str, Path]) -> Path:
    import zipfile

    with zipfile.ZipFile(path, "w") as file:
        for name, picture in pictures.items():
            file.write(picture, name)
    return path


@pytest.mark.parametrize("old", [False, True])
def test_members_stay_while_their_archive_is_there(
    tmp_path: Path, photos: Path, image_collection: Path, save_image, run, old: bool
) -> None:
    picture = save_image(tmp_path / "a.png", 900)
    archive = zip_of(photos / "a#1!.zip", {"x!y#z.png": picture, "b/c.png": save_image(tmp_path / "b.png", 901)})
    assert run("add", image_collection, archive).status == 0
    if old:
        forget_origins(image_collection)
    assert "removed" not in run("sync", image_collection, photos).out
    archive.unlink()
    assert "removed 2 whose files are gone" in run("sync", image_collection, photos).out


# A moved library ----------------------------------------------------------------------------------


def test_a_moved_library_keeps_its_ids(tmp_path: Path, photos: Path, image_collection: Path, encoded, run) -> None:
    before = {Path(path).name: item.id for path, item in items(image_collection).items()}
    for place in ("elsewhere", "mount/of another disk", "photos"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        photos = photos.rename(tmp_path / place)
        result = run("sync", image_collection, photos)
        assert result.out == f"added 0 items, updated the paths of 60 that had moved: {image_collection} holds 60\n"
        after = items(image_collection)
        assert {Path(path).name: item.id for path, item in after.items()} == before
        assert set(after) == {str(path) for path in photos.rglob("*.png")}
        assert "left 60 unchanged" in run("sync", image_collection, photos).out
    assert not encoded


def test_copies_in_a_moved_library_follow_their_names(
    tmp_path: Path, photos: Path, image_collection: Path, run
) -> None:
    for name in ("y.png", "x.png", "sub/z.png"):
        shutil.copy(photos / "00.png", photos / name)
    assert run("sync", image_collection, photos).status == 0
    before = {Path(path).name: item.id for path, item in items(image_collection).items()}
    photos = photos.rename(tmp_path / "new")
    (photos / "x.png").rename(photos / "w.png")
    assert "updated the paths of 63" in run("sync", image_collection, photos).out
    after = {Path(path).name: item.id for path, item in items(image_collection).items()}
    before["w.png"] = before.pop("x.png")
    assert after == before


def test_a_copy_is_not_a_move(tmp_path: Path, photos: Path, image_collection: Path, encoded, run) -> None:
    shutil.copytree(photos, tmp_path / "copy")
    (photos / "01.png").unlink()  # the content of a copy that is left
    assert (
        "added 59 items, updated the paths of 1 that had moved" in run("sync", image_collection, tmp_path / "copy").out
    )
    assert not encoded and len(items(image_collection)) == 119


@pytest.mark.parametrize("command", ["add", "sync"])
def test_half_a_library_is_moved(tmp_path: Path, photos: Path, image_collection: Path, run, command: str) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for path in sorted(photos.glob("*.png"))[:30]:
        path.rename(half / path.name)
    assert "updated the paths of 30 that had moved" in run(command, image_collection, half).out
    assert len(items(image_collection)) == 60
    assert "left 30 unchanged" in run("sync", image_collection, photos).out


def test_a_moved_archive_and_a_moved_matrix(
    tmp_path: Path, photos: Path, image_collection: Path, matrix: Path, matrix_collection: Path, save_image, run
) -> None:
    pictures = {f"{i}.png": save_image(tmp_path / f"{i}.png", 700 + i) for i in range(5)}
    archive = zip_of(tmp_path / "a.zip", pictures)
    assert run("add", image_collection, archive).status == 0
    before = items(image_collection)
    archive.rename(photos / "b.zip")
    assert "updated the paths of 5 that had moved" in run("add", image_collection, photos / "b.zip").out
    after = items(image_collection)
    assert len(after) == 65
    for name in pictures:
        assert after[f"{photos / 'b.zip'}!{name}"].id == before[f"{archive}!{name}"].id
    old, new = items(matrix_collection), matrix.rename(tmp_path / "moved#1.npy")
    assert "added 0 items, updated the paths of 100 that had moved" in run("add", matrix_collection, new).out
    rows = items(matrix_collection)
    assert {f"{new}#{i}": old[f"{matrix}#{i}"].id for i in range(100)} == {path: item.id for path, item in rows.items()}
    assert "left 100 unchanged" in run("add", matrix_collection, new).out


def test_remove_under_and_relocate(
    tmp_path: Path, photos: Path, image_collection: Path, matrix: Path, matrix_collection: Path, run, monkeypatch
) -> None:
    before = items(image_collection)
    monkeypatch.chdir(tmp_path)
    photos.rename(tmp_path / "new")
    refused = run("relocate", image_collection, "nowhere", "new")
    assert refused.status == 2 and "has no item in nowhere" in refused.err and refused.err.count("\n") == 1
    assert run("relocate", image_collection, "photos", "new").out.startswith("updated the paths of 60 items: ")
    after = items(image_collection)
    assert {path.replace(str(photos), str(tmp_path / "new")): item.id for path, item in before.items()} == {
        path: item.id for path, item in after.items()
    }
    assert "left 60 unchanged" in run("sync", image_collection, "new").out
    assert run("remove", image_collection, "--under", "new/sub").out.startswith("removed 1 items: ")
    assert run("remove", image_collection, 0, "--under", tmp_path / "new").out.startswith("removed 59 items: ")
    assert run("remove", image_collection, "--under", "new").status == 2
    assert run("remove", image_collection).status == 2
    assert run("relocate", matrix_collection, matrix, tmp_path / "m.npy").out.startswith("updated the paths of 100")
    assert set(items(matrix_collection)) == {f"{tmp_path / 'm.npy'}#{i}" for i in range(100)}
    assert run("remove", matrix_collection, "--under", "m.npy").out.startswith("removed 100 items: ")


def test_relocate_takes_no_path_that_is_taken(tmp_path: Path, photos: Path, image_collection: Path, run) -> None:
    before = items(image_collection)
    (photos / "sub" / "last.png").rename(photos / "sub" / "00.png")
    assert run("sync", image_collection, photos).status == 0
    refused = run("relocate", image_collection, photos / "sub", photos)
    assert refused.status == 2 and "already has 1 of the new paths" in refused.err
    assert len(items(image_collection)) == len(before)
    assert run("relocate", image_collection, photos, photos).status == 2


# A disk that is not mounted -----------------------------------------------------------------------


def test_many_missing_items_are_removed_only_on_request(
    tmp_path: Path, photos: Path, image_collection: Path, encoded, run
) -> None:
    before = items(image_collection)
    away = tmp_path / "away"
    away.mkdir()
    for i in range(21):
        (photos / f"{i:02}.png").rename(away / f"{i:02}.png")
    for arguments in ((), ("--dry-run",), ("--quick",)):
        refused = run("sync", image_collection, photos, *arguments)
        assert refused.status == 2 and "21 of the 60 items" in refused.err and "--remove-missing" in refused.err
        assert refused.err.count("\n") == 1 and items(image_collection) == before
    dry = run("sync", image_collection, photos, "--remove-missing", "--dry-run")
    assert dry.out == (
        "dry run, nothing was changed: would have added 0 items, removed 21 whose files are gone, left 39 unchanged: "
        f"{image_collection} holds 60\n"
    )
    assert items(image_collection) == before
    assert "removed 21 whose files are gone" in run("sync", image_collection, photos, "--remove-missing").out
    (away / "00.png").unlink()
    for i in range(1, 21):
        (away / f"{i:02}.png").rename(photos / f"{i:02}.png")  # the disk is mounted again
    result = run("sync", image_collection, photos)
    assert "added 20 items, left 39 unchanged" in result.out
    after = items(image_collection)
    assert {path: item.id for path, item in after.items()} == {
        path: item.id for path, item in before.items() if item.id
    }
    with Collection.open(image_collection) as collection:
        assert collection.ids.tolist() == list(range(1, 60))


def test_few_missing_items_are_removed_at_once(photos: Path, image_collection: Path, run) -> None:
    before = items(image_collection)
    for i in range(20):
        (photos / f"{i:02}.png").unlink()
    assert "removed 20 whose files are gone" in run("sync", image_collection, photos).out
    assert set(items(image_collection).values()) < set(before.values())


def test_a_former_id_is_given_to_its_content_alone(photos: Path, image_collection: Path, save_image, run) -> None:
    before, content = items(image_collection), (photos / "05.png").read_bytes()
    assert run("remove", image_collection, 5, 6).status == 0
    save_image(photos / "06.png", 1234)
    (photos / "05.png").unlink()
    (photos / "back.png").write_bytes(content)
    assert "added 2 items, left 58 unchanged" in run("sync", image_collection, photos).out
    after = items(image_collection)
    assert after[str(photos / "back.png")].id == 5 and after[str(photos / "06.png")].id == 60
    assert before[str(photos / "05.png")].digest == after[str(photos / "back.png")].digest


def test_a_dry_run_counts_and_changes_nothing(photos: Path, image_collection: Path, encoded, save_image, run) -> None:
    save_image(photos / "new.png", 1000)
    save_image(photos / "04.png", 1001)
    (photos / "01.png").rename(photos / "one.png")
    (photos / "02.png").unlink()
    before = image_collection.read_bytes()
    result = run("sync", image_collection, photos, "--dry-run")
    assert result.out == (
        "dry run, nothing was changed: would have added 2 items, replaced 1 that had changed, updated the paths of 1 "
        f"that had moved, removed 1 whose files are gone, left 57 unchanged: {image_collection} holds 60\n"
    )
    assert image_collection.read_bytes() == before and not encoded


def test_quick_reads_only_files_whose_size_or_time_differs(
    photos: Path, image_collection: Path, save_image, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in photos.rglob("*.png"):
        os.utime(path, (10**9, 10**9))
    assert "left 60 unchanged" in run("sync", image_collection, photos).out  # records sizes and times
    real, seen = files.read_file, []

    def read(path: str) -> bytes:
        seen.append(Path(path).name)
        return real(path)

    monkeypatch.setattr(files, "read_file", read)
    assert "left 60 unchanged" in run("sync", image_collection, photos, "--quick").out and seen == []
    save_image(photos / "04.png", 1001)
    os.utime(photos / "04.png", (10**9 + 1, 10**9 + 1))
    os.utime(photos / "05.png", (10**9 - 1, 10**9 - 1))
    (photos / "06.png").unlink()
    result = run("sync", image_collection, photos, "--quick")
    assert "added 1 items, replaced 1 that had changed, removed 1 whose files are gone, left 58" in result.out
    assert set(seen) == {"04.png", "05.png"}
    seen.clear()
    assert "left 59 unchanged" in run("sync", image_collection, photos).out and len(seen) == 59


def test_several_sources(tmp_path: Path, photos: Path, image_model: Path, matrix: Path, save_image, run) -> None:
    more = tmp_path / "more"
    more.mkdir()
    shutil.copy(photos / "00.png", more / "copy.png")
    save_image(more / "new.png", 2000)
    file = tmp_path / "c"
    # The subfolder is in two sources.
    assert run("index", photos, photos / "sub", more, "-m", image_model, "-o", file, "--keep-features").status == 0
    stored = items(file)
    assert len(stored) == 62
    with Collection.open(file) as collection:
        copies = [stored[str(path)].id for path in (photos / "00.png", more / "copy.png")]
        assert np.ptp(collection.features(copies), axis=0).max() == 0
    save_image(more / "newer.png", 2001)
    save_image(photos / "newest.png", 2002)
    result = run("add", file, more, photos / "sub", photos, photos / "newest.png")
    assert result.out == f"added 2 items, left 62 unchanged: {file} holds 64\n"
    refused = run("add", file, photos, matrix)
    assert refused.status == 2 and refused.err.count("\n") == 1 and len(items(file)) == 64
    refused = run("index", matrix, photos, "-m", image_model, "-o", tmp_path / "d")
    assert refused.status == 2 and not (tmp_path / "d").exists()


def test_several_matrices(tmp_path: Path, matrix: Path, matrix_model: Path, vectors, run) -> None:
    np.save(tmp_path / "other.npy", -vectors[:30])
    file = tmp_path / "c"
    assert run("index", matrix, tmp_path / "other.npy", matrix, "-m", matrix_model, "-o", file).status == 0
    assert len(items(file)) == 130
    assert "added 0 items, left 130" in run("add", file, matrix, tmp_path / "other.npy").out


def test_sync_excludes_what_index_excludes(photos: Path, image_collection: Path, save_image, run) -> None:
    (photos / "private").mkdir()
    save_image(photos / "private" / "a.png", 3000)
    data = save_image(photos / "cut.png", 3001).read_bytes()
    (photos / "cut.png").write_bytes(data[: len(data) // 2])
    (photos / "film.mov").write_bytes(b"x")
    result = run("sync", image_collection, photos, "--exclude", "private")
    assert "added 0 items, left 60 unchanged, skipped 1" in result.out and ".mov" in result.err
    assert "added 2 items" in run("sync", image_collection, photos, "--truncated").out
    assert "left 61 unchanged" in run("sync", image_collection, photos, "--exclude", "private", "--truncated").out
    assert len(items(image_collection)) == 62  # what is excluded is left as it is
