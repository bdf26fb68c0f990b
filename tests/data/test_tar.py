"""Tar archives of images: shards of webdataset are read in place, and damaged ones never take long."""

import gzip
import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from gannet.data import decode, open_source, read_item
from gannet.errors import GannetError


def picture(color=0):
    out = io.BytesIO()
    Image.new("RGB", (6, 4), (color, 10, 20)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(params=[tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def shard(tmp_path, request):
    path = tmp_path / "00000.tar"
    with tarfile.open(path, "w", format=request.param) as out:
        for number, name in enumerate(["b/1.png", "b/1.json", "b/1.txt", "a/2.PNG", ".x.png", "n.svg", "a/2.PNG"]):
            info = tarfile.TarInfo(name)
            info.size = len(content := picture(number))
            out.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    return path


def test_images_are_read_in_place(shard):
    source = open_source(shard)
    assert source.members == ["a/2.PNG", "b/1.png"] and source.paths[0] == f"{shard}!a/2.PNG"
    assert [source.read(0), source.read(1)] == [picture(6), picture(0)], "of two members of one name the last counts"
    assert read_item(source.paths[1]) == picture(0)
    assert [skip.path for skip in source.skipped] == [f"{shard}!n.svg"]
    assert source.notes[0] == "passed over: 1 .json, 1 .txt" and "1 .*" in source.notes[1]
    assert open_source(shard, exclude="a").members == ["b/1.png"]
    assert [entry.name for entry in shard.parent.iterdir()] == [shard.name]


def test_archives_that_are_cut_off_are_refused(shard):
    data = shard.read_bytes()
    shard.write_bytes(data[:600])
    with pytest.raises(GannetError, match=r"not a readable tar archive|no images in .*the archive ends within it"):
        open_source(shard)
    with pytest.raises(GannetError, match="not a readable tar archive"):
        shard.write_bytes(b"text" * 500)
        open_source(shard)
    shard.write_bytes(data)
    source = open_source(shard)
    shard.write_bytes(data[:600])
    with pytest.raises(GannetError, match="the archive ends within it"):
        source.read(0)


def test_the_error_for_a_compressed_archive_names_the_kinds_that_are_read(shard):
    packed = shard.with_suffix(".tar.gz")
    packed.write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(GannetError, match=r"lacks .*an archive of images is read as \.zip, \.cbz or \.tar"):
        open_source(packed)


def test_a_comic_book_is_a_zip(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.CBZ", "w") as out:
        out.writestr("01.png", picture(7))
    source = open_source(tmp_path / "a.CBZ")
    assert np.array_equal(decode(read_item(source.paths[0]), 4), decode(picture(7), 4))
