"""Folders, single files and zip archives: which images are listed and read, and which are left out for which reason."""

import io
import os
import stat
import struct
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.data import FolderSource, MatrixSource, decode, open_source, read_item
from gannet.data.sources.image_zip import ImageZip, ZipSource
from gannet.errors import GannetError


def picture(color=0, kind="PNG"):
    out = io.BytesIO()
    Image.new("RGB", (6, 4), (color, 10, 20)).save(out, kind)
    return out.getvalue()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "photos"
    for name in ("b.png", "a/z.JPG", "a/y.jpeg", "c/d/e.TIFF", ".hidden/x.png", "a/.thumb.png", "notes.txt"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(len(name)))
    return root


def names(source):
    return [os.path.relpath(path, source.container) for path in source.paths]


def test_folder_lists_images_sorted_without_hidden_ones(folder):
    source = open_source(folder)
    assert isinstance(source, FolderSource)
    assert names(source) == source.members == ["a/y.jpeg", "a/z.JPG", "b.png", "c/d/e.TIFF"]
    assert all(Path(path).is_absolute() for path in source.paths)
    assert source.name == "photos" and len(source) == 4
    assert source.labels is None and source.is_test is None and source.skipped == []
    assert source.read(2) == picture(len("b.png")) == read_item(source.paths[2])


def test_relative_paths_and_trailing_slashes(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert open_source("photos/").paths == open_source(folder).paths == open_source("./x/../photos").paths


def test_single_image(folder):
    source = open_source(folder / "a" / "z.JPG")
    assert source.paths == [str(folder / "a" / "z.JPG")] and len(source) == 1
    assert read_item(source.paths[0]) == source.read(0)


def test_link_loops_and_broken_links(folder):
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    (folder / "linked.png").symlink_to(folder / "b.png")
    source = open_source(folder)
    assert names(source) == ["a/y.jpeg", "a/z.JPG", "b.png", "c/d/e.TIFF", "linked.png"]
    assert [Path(skip.path).name for skip in source.skipped] == ["gone.png"]
    assert "cannot be read" in source.skipped[0].reason


def test_linked_folder_is_followed_once(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "o.png").write_bytes(picture())
    (folder / "one").symlink_to(other)
    (folder / "two").symlink_to(other)
    assert [name for name in names(open_source(folder)) if name.endswith("o.png")] == ["one/o.png"]


def test_unreadable_subfolder_is_skipped_by_name(folder, monkeypatch):
    scandir = os.scandir

    def deny(path):
        if os.fspath(path).endswith("/c"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    source = open_source(folder)
    assert names(source) == ["a/y.jpeg", "a/z.JPG", "b.png"]
    assert [(skip.path, skip.reason) for skip in source.skipped] == [
        (str(folder / "c"), "cannot be read: Permission denied")
    ]


def test_unreadable_root_is_an_error(folder, monkeypatch):
    def deny(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.raises(GannetError, match="Permission denied"):
        open_source(folder)


def test_pipes_are_not_opened(folder):
    os.mkfifo(folder / "pipe.png")
    assert "pipe.png" not in names(open_source(folder))


def test_other_picture_formats_are_reported(folder):
    (folder / "phone.HEIC").write_bytes(b"x")
    (skip,) = open_source(folder).skipped
    assert skip.path.endswith("phone.HEIC") and "JPEG" in skip.reason


def test_names_that_are_not_utf8(folder):
    raw = os.fsencode(folder) + b"/caf\xe9.png"
    Path(os.fsdecode(raw)).write_bytes(picture(77))
    source = open_source(folder)
    path = os.fsdecode(raw)
    assert path in source.paths
    assert read_item(path) == source.read(source.paths.index(path)) == picture(77)


def test_file_that_went_away(folder):
    source = open_source(folder)
    (folder / "b.png").unlink()
    with pytest.raises(GannetError, match="No such file"):
        source.read(2)
    with pytest.raises(GannetError, match="no such picture"):
        read_item(source.paths[2])


def test_too_large_file_is_not_read(folder):
    with (folder / "b.png").open("wb") as file:
        file.truncate((1 << 29) + 1)
    with pytest.raises(GannetError, match="above 512 MB"):
        open_source(folder).read(2)


@pytest.mark.parametrize("name", ["missing", "a\0b", "x" * 5000])
def test_missing_path(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GannetError) as caught:
        open_source(name)
    assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(GannetError, match="no such picture"):
        read_item(name)


def test_unknown_type_says_what_is_accepted(folder):
    with pytest.raises(GannetError, match=r"notes\.txt is of an unknown type; accepted: .*\.zip.*\.parquet"):
        open_source(folder / "notes.txt")
    os.mkfifo(folder / "pipe")
    with pytest.raises(GannetError, match="neither a file nor a folder"):
        open_source(folder / "pipe")


def test_empty_folder(tmp_path):
    with pytest.raises(GannetError, match=r"no images in .*: looked for .*\.jpg"):
        open_source(tmp_path)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "set.ZIP"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name in (
            "train/cat/1.png",
            "b.JPG",
            "__MACOSX/b.JPG",
            ".x.png",
            "read.me",
            "n.heic",
            "naïve.png",
        ):
            out.writestr(name, picture(len(name)))
        out.mkdir("dir.png")
    return path


def test_zip_is_read_in_place(archive):
    source = open_source(archive)
    assert isinstance(source, ZipSource)
    assert source.members == ["b.JPG", "naïve.png", "train/cat/1.png"]
    assert source.paths[0] == f"{archive}!b.JPG"
    assert [skip.path for skip in source.skipped] == [f"{archive}!n.heic"]
    for index, path in enumerate(source.paths):
        assert source.read(index) == read_item(path) == picture(len(source.members[index]))
    assert [entry.name for entry in archive.parent.iterdir()] == ["set.ZIP"]


def test_zip_items_by_relative_name(archive, monkeypatch):
    monkeypatch.chdir(archive.parent)
    assert read_item("set.ZIP!b.JPG") == picture(5)
    with pytest.raises(GannetError, match=r"no such picture: .*nothing"):
        read_item("set.ZIP!nothing.png")


def test_changed_zip_is_opened_anew(archive):
    assert read_item(f"{archive}!b.JPG") == picture(5)
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("b.JPG", picture(99))
    os.utime(archive, ns=(1, 1))
    assert read_item(f"{archive}!b.JPG") == picture(99)


def test_corrupt_zip_member_spares_the_others(archive):
    data = bytearray(archive.read_bytes())
    start = zipfile.ZipFile(archive).getinfo("b.JPG").header_offset + 30 + len("b.JPG")
    data[start : start + 12] = b"\xff" * 12
    archive.write_bytes(data)
    source = open_source(archive)
    with pytest.raises(GannetError, match="damaged zip member"):
        source.read(0)
    assert decode(source.read(1), 4).shape == (4, 4, 3)


def patch_central_directory(path, offset, layout, value):
    """Overwrite a field of every entry in the central directory."""
    data = bytearray(path.read_bytes())
    at = data.find(b"PK\x01\x02")
    while at >= 0:
        struct.pack_into(layout, data, at + offset, value)
        at = data.find(b"PK\x01\x02", at + 4)
    path.write_bytes(data)


def test_encrypted_zip(archive):
    patch_central_directory(archive, 8, "<H", 0x1)
    with pytest.raises(GannetError, match="encrypted; extract it with its password first"):
        open_source(archive)


def test_oversized_zip_members_are_left_out(archive):
    patch_central_directory(archive, 24, "<I", 1 << 30)
    with pytest.raises(GannetError, match="file above 512 MB"):
        open_source(archive)


def test_zip_member_larger_than_declared_is_refused(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("zeros.png", bytes(1 << 20))
    patch_central_directory(path, 24, "<I", 100)
    with pytest.raises(GannetError, match="damaged zip member"):
        open_source(path).read(0)


def test_unknown_zip_compression(archive):
    patch_central_directory(archive, 10, "<H", 77)
    with pytest.raises(GannetError, match="damaged zip member"):
        open_source(archive).read(0)


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 not really", b"x" * 1000])
def test_not_a_zip(data, tmp_path):
    path = tmp_path / "x.zip"
    path.write_bytes(data)
    with pytest.raises(GannetError, match="not a readable zip archive"):
        open_source(path)


def test_zip_without_images(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("a.txt", "a")
    with pytest.raises(GannetError, match="no images in"):
        open_source(path)


def test_folder_named_like_an_archive(tmp_path):
    path = tmp_path / "odd.zip!x" / "a#1.png"
    path.parent.mkdir()
    path.write_bytes(picture(3))
    source = open_source(path.parent)
    assert read_item(source.paths[0]) == picture(3)
    inner = tmp_path / "odd.zip!x" / "in.zip"
    with zipfile.ZipFile(inner, "w") as out:
        out.writestr("b#2.png", picture(4))
    assert read_item(open_source(inner).paths[0]) == picture(4)


def test_rows_of_a_matrix_have_no_picture(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, np.zeros((2, 3)))
    source = open_source(path)
    assert isinstance(source, MatrixSource)
    with pytest.raises(GannetError, match="row of a matrix"):
        read_item(source.paths[0])


def test_containers_are_kept_open(archive, monkeypatch):
    read_item(f"{archive}!b.JPG")
    monkeypatch.setattr(ImageZip, "open", None)
    assert read_item(f"{archive}!naïve.png") == picture(len("naïve.png"))


def test_a_million_files_in_one_folder_take_time_in_proportion(tmp_path, monkeypatch):
    looked_at = []

    class Entry:
        def __init__(self, name):
            self.name, self.path = name, f"{tmp_path}/{name}"

        def stat(self):
            looked_at.append(self.name)
            return os.stat_result((stat.S_IFREG, *[0] * 9))

    def seconds(n):
        listing = nullcontext([Entry(f"{i:07}.jpg") for i in range(n)])
        monkeypatch.setattr(os, "scandir", lambda _: listing)
        looked_at.clear()
        start = time.perf_counter()
        source = open_source(tmp_path)
        taken = time.perf_counter() - start
        assert len(source) == len(looked_at) == n and source.paths[-1] == f"{tmp_path}/{n - 1:07}.jpg"
        return taken

    small = min(seconds(20_000) for _ in range(3))
    assert seconds(200_000) < 40 * small
