"""Folders, single files and zip archives: which images are listed and read, and which are left out for which reason."""

import io
import os
import stat
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.data import FolderSource, MatrixSource, decode, open_source, read_item
from gannet.data.files import extension
from gannet.data.formats import IMAGE_EXTENSIONS
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


def test_the_error_for_an_unknown_type_names_the_accepted_ones(folder):
    with pytest.raises(GannetError, match=r"notes\.txt is of an unknown type; accepted: .*\.zip.*\.parquet"):
        open_source(folder / "notes.txt")
    os.mkfifo(folder / "pipe")
    with pytest.raises(GannetError, match="neither a file nor a folder"):
        open_source(folder / "pipe")


def test_empty_folder(tmp_path):
    with pytest.raises(GannetError, match=r"no images in .*: looked for .*\.jpg"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.jif", "a.pjpeg", "a.mpo", "a.avif", "a.jp2", "a.j2k"])
def test_other_names_of_images(name, tmp_path):
    kind = {"avif": "AVIF", "jp2": "JPEG2000", "j2k": "JPEG2000", "mpo": "MPO"}.get(name.rpartition(".")[2], "JPEG")
    if extension(name) not in IMAGE_EXTENSIONS:
        pytest.skip(f"Pillow is built without {kind}")
    (tmp_path / name).write_bytes(picture(200, kind))
    source = open_source(tmp_path)
    assert source.members == [name] and source.skipped == [] and source.notes == []
    assert abs(int(decode(source.read(0), 4)[1, 1, 0]) - 200) < 20
    assert len(open_source(tmp_path / name)) == 1


def test_heic_is_named_with_the_extra(tmp_path):
    heic = b"\0\0\0\x18ftypheic" + bytes(50)
    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path / "b.jpg").write_bytes(heic)
    (tmp_path / "c.heic").write_bytes(heic)
    source = open_source(tmp_path)
    with pytest.raises(GannetError) as caught:
        decode(source.read(1), 8)
    if ".heic" not in IMAGE_EXTENSIONS:
        assert [Path(skip.path).name for skip in source.skipped] == ["c.heic"]
        assert "pip install 'gannet-hash[heic]'" in source.skipped[0].reason == str(caught.value)


def test_everything_is_read_named_or_counted(folder):
    for name in (
        "1.dng",
        "2.DNG",
        "a/3.mov",
        "a/read",
        "x.psd",
        "@eaDir/t.jpg",
        "#recycle/r.png",
        "$RECYCLE.BIN/s.jpg",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    (folder / "disk").symlink_to(folder / "mnt" / "not mounted")
    os.mkfifo(folder / "pipe")
    source = open_source(folder)
    assert len(source) == 4
    assert [(Path(skip.path).name, skip.reason) for skip in source.skipped] == [
        ("disk", f"cannot be read: it is a link to {folder}/mnt/not mounted: No such file or directory")
    ]
    passed_over, left_out = source.notes
    counts = ["2 .dng", "1 .mov", "1 .psd", "1 .txt", "1 without extension", "1 link to itself"]
    counts += ["1 pipe, socket or device", "1 folder listed by another path"]
    assert passed_over.startswith("passed over: 2 .dng, ") and all(text in passed_over for text in counts)
    assert left_out.startswith("left out by pattern: 2 .*, ")
    assert all(f"1 {name}" in left_out for name in ("@eaDir", "#recycle", "$RECYCLE.BIN"))
    assert "--exclude ''" in left_out


def test_files_of_many_kinds_are_summed_up(folder):
    for number in range(40):
        (folder / f"x.k{number}").write_bytes(b"")
    (folder / "film.mov").write_bytes(b"")
    assert "1 .mov" in open_source(folder).notes[0]
    (folder / "film.mov").unlink()
    assert open_source(folder).notes[0].endswith("29 of other kinds")


def test_patterns_to_exclude(folder):
    assert names(open_source(folder, exclude="A")) == ["b.png", "c/d/e.TIFF"]
    assert names(open_source(folder, exclude=["*.jpeg", "c/d"])) == ["a/z.JPG", "b.png"]
    assert names(open_source(folder, exclude="c/d/*.tiff")) == ["a/y.jpeg", "a/z.JPG", "b.png"]
    everything = [".hidden/x.png", "a/.thumb.png", "a/y.jpeg", "a/z.JPG", "b.png", "c/d/e.TIFF"]
    assert names(open_source(folder, exclude="")) == everything
    assert names(open_source(folder, exclude=["", "a"])) == [".hidden/x.png", "b.png", "c/d/e.TIFF"]
    with pytest.raises(GannetError, match=r"no images in .*left out by pattern: 4 \*"):
        open_source(folder, exclude="*")


@pytest.mark.parametrize("function", ["scandir", "stat"])
def test_an_unreadable_root_is_named_as_itself(folder, function, monkeypatch):
    real = os.scandir

    class Denied:
        def __init__(self, entry):
            self.name, self.path = entry.name, entry.path

        def stat(self):
            raise PermissionError(13, "Permission denied", self.path)

    def scandir(path):
        if function == "scandir":
            raise PermissionError(13, "Permission denied", path)
        with real(path) as entries:
            return nullcontext([Denied(entry) for entry in entries])

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(GannetError, match=rf"^{folder} cannot be (read|entered): Permission denied$"):
        open_source(folder)


def test_over_long_paths_are_named(folder):
    deep = os.open(folder, os.O_RDONLY)
    for _ in range(25):
        os.mkdir("n" * 200, dir_fd=deep)
        below = os.open("n" * 200, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = below
    with os.fdopen(os.open("deep.png", os.O_CREAT | os.O_WRONLY, dir_fd=deep), "wb") as file:
        file.write(picture())
    os.close(deep)
    source = open_source(folder)
    assert len(source) == 4
    assert [skip.reason for skip in source.skipped] == ["cannot be read: File name too long"]


@pytest.mark.parametrize("content", [b"", b"notes"])
@pytest.mark.parametrize("name", ["test_batch", "data_batch_1", "train-images-idx3-ubyte", "img_emb.txt"])
def test_a_file_named_like_a_data_set_is_passed_over(name, content, folder):
    (folder / name).write_bytes(content if "idx3" not in name else b"")
    assert len(open_source(folder)) == 4


def test_pictures_that_are_cut_off(folder, tmp_path):
    whole = {}
    for kind in ("JPEG", "PNG"):
        out = io.BytesIO()
        Image.effect_noise((300, 300), 80).convert("RGB").save(out, kind)
        whole[kind] = out.getvalue()
    (folder / "b.png").write_bytes(whole["PNG"][: len(whole["PNG"]) // 2])
    (folder / "a" / "y.jpeg").write_bytes(whole["JPEG"][: len(whole["JPEG"]) // 2])
    with zipfile.ZipFile(tmp_path / "x.cbz", "w") as out:
        for name in ("a/y.jpeg", "b.png"):
            out.write(folder / name, name)
    for path in (folder, tmp_path / "x.cbz", folder / "b.png"):
        strict, lenient = open_source(path), open_source(path, truncated=True)
        for index, member in enumerate(strict.members):
            if member not in ("a/y.jpeg", "b.png"):
                continue
            with pytest.raises(GannetError, match="truncated"):
                decode(strict.read(index), 30)
            pixels = decode(lenient.read(index), 30)
            kind = "PNG" if member == "b.png" else "JPEG"
            assert np.array_equal(pixels[:12], decode(whole[kind], 30)[:12]), "the upper part is there"
            assert pixels[-3:].std() < 3, "the lower part is not"
            assert strict.read(index) == lenient.read(index)


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


READ_AS_NOBODY = """
import os, sys
import gannet
from gannet.data import open_source, read_item
from gannet.data.opening import other_kinds
from gannet.errors import GannetError
open_source(sys.argv[1])  # imports modules that the user nobody cannot read
other_kinds()
if os.geteuid() == 0:
    os.seteuid(65534)  # root may read everything
for path in sys.argv[2:]:
    for function in (open_source, read_item):
        try:
            print("opened", function(path))
        except GannetError as error:
            print(error)
"""


def test_a_folder_that_may_not_be_entered_is_named_itself(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    with tempfile.TemporaryDirectory() as name:  # other users cannot enter pytest's folders
        closed = Path(name, "closed")
        (closed / "sub").mkdir(parents=True)
        for folder in (closed, closed / "sub"):
            Image.new("RGB", (8, 8)).save(folder / "a.png")
        Path(name).chmod(0o755)
        closed.chmod(0)
        paths = [str(closed), f"{closed}/sub", f"{closed}/a.png", f"{closed}/m.npy#3"]
        done = subprocess.run(
            [sys.executable, "-c", READ_AS_NOBODY, tmp_path, *paths],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        closed.chmod(0o755)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"{closed} cannot be read: Permission denied", f"not a picture file: {closed}"]
    inside = [f"{path} cannot be read: Permission denied" for path in paths[1:] for _ in range(2)]
    assert lines[2:] == inside
