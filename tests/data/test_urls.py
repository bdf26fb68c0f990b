"""Sources at URLs: the file systems of fsspec in memory and on the disk."""

from __future__ import annotations

import io
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet import GannetError, open_source
from gannet.data import ImageSource, MatrixSource, Sample, is_matrix, open_row, read_item

fsspec = pytest.importorskip("fsspec")


def picture(seed: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(params=["memory", "file"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Return the URL of an empty folder."""
    if request.param == "file":
        yield f"file://{tmp_path}/bucket"
    else:
        yield "memory://bucket"
        fsspec.filesystem("memory").rm("/bucket", recursive=True)


def put(url: str, content: bytes) -> str:
    system, path = fsspec.core.url_to_fs(url)
    system.makedirs(path.rpartition("/")[0], exist_ok=True)
    system.pipe_file(path, content)
    return url


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def test_a_folder_of_images(root: str) -> None:
    for i in range(3):
        put(f"{root}/some/{i}.png", picture(i))
    put(f"{root}/some/sub/9.png", picture(9))
    put(f"{root}/some/notes.txt", b"text")
    put(f"{root}/some/.hidden/8.png", picture(8))
    source = open_source(f"{root}/some")
    assert source.paths == [f"{root}/some/{name}" for name in ("0.png", "1.png", "2.png", "sub/9.png")]
    assert [source.read(i) for i in range(4)] == [picture(i) for i in (0, 1, 2, 9)]
    assert source.notes == [
        "passed over: 1 .txt",
        "left out by pattern: 1 .* (--exclude '' turns the default patterns off)",
    ]
    assert read_item(f"{root}/some/sub/9.png") == picture(9)
    assert open_source(f"{root}/some/1.png").paths == [f"{root}/some/1.png"]
    assert len(open_source(f"{root}/some/", exclude="sub")) == 3


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_an_archive_of_images(root: str, kind: str) -> None:
    out = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=out, mode="w") as archive:
            for i in range(3):
                info = tarfile.TarInfo(f"a/{i}.png")
                info.size = len(picture(i))
                archive.addfile(info, io.BytesIO(picture(i)))
    else:
        with zipfile.ZipFile(out, "w") as pack:
            for i in range(3):
                pack.writestr(f"a/{i}.png", picture(i))
    url = put(f"{root}/parts/some.{kind}", out.getvalue())
    source = open_source(url)
    assert source.paths == [f"{url}!a/{i}.png" for i in range(3)]
    assert [source.read(i) for i in range(3)] == [picture(i) for i in range(3)]
    assert read_item(f"{url}!a/1.png") == picture(1)
    if kind == "tar":
        put(f"{root}/parts/other.tar", b"no archive")
        joined = open_source(f"{root}/parts")
        assert isinstance(joined, ImageSource) and joined.paths == source.paths and joined.read(2) == picture(2)
        assert [item.path for item in joined.skipped] == [f"{root}/parts/other.tar"]


def test_matrices(root: str) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32)
    url = put(f"{root}/values.npy", npy(values))
    source = open_source(url)
    assert isinstance(source, MatrixSource) and is_matrix(url)
    np.testing.assert_array_equal(source.features, values)
    assert source.paths[7] == f"{url}#7"
    np.testing.assert_array_equal(open_row(f"{url}#4999"), values[4999:])
    sample = Sample(100, 0)
    drawn, rows = open_source(url, sample=sample), sample.rows(5000)
    assert isinstance(drawn, MatrixSource) and drawn.total == 5000
    np.testing.assert_array_equal(drawn.features, values[rows])
    assert list(drawn.paths) == [f"{url}#{row}" for row in rows]
    out = io.BytesIO()
    pq.write_table(pa.table({"id": [str(i) for i in range(5000)], "features": list(values)}), out)
    table = open_source(put(f"{root}/values.parquet", out.getvalue()), sample=sample)
    assert isinstance(table, MatrixSource)
    np.testing.assert_array_equal(table.features, values[rows])
    assert list(table.paths) == [str(row) for row in rows]


def test_a_parquet_file_of_images(root: str) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    pq.write_table(pa.table({"image": [picture(i) for i in range(3)]}), out)
    url = put(f"{root}/images/0.parquet", out.getvalue())
    source = open_source(url)
    assert source.paths == [f"{url}#{i}" for i in range(3)]
    assert [source.read(i) for i in range(3)] == [picture(i) for i in range(3)]
    assert open_source(f"{root}/images").paths == source.paths


def test_a_file_that_was_replaced_is_read_anew(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = put(f"{root}/values.npy", npy(np.zeros((3, 4))))
    assert open_row(f"{url}#2") is not None
    put(url, npy(np.ones((3, 5))))
    now = time.monotonic()
    monkeypatch.setattr("time.monotonic", lambda: now + 60)
    np.testing.assert_array_equal(open_row(f"{url}#2"), np.ones((1, 5)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("memory://nothing/here", "no images in memory://nothing/here"),
        ("memory://nothing/a.npy", "a.npy"),
        ("memory://nothing/a.tar", "a.tar"),
        ("memory://nothing/a.png", None),
        ("nope://nothing/a", "nope://nothing/a cannot be read: No such file or directory"),
    ],
)
def test_what_is_not_there_is_one_clear_line(text: str, message: str | None) -> None:
    if message is None:  # as for any image, reading it says why it is left out
        with pytest.raises(GannetError, match=r"^cannot be read: .*a.png$"):
            open_source(text).read(0)
        return
    with pytest.raises(GannetError) as error:
        open_source(text)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_missing_driver_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(GannetError, match=r"reading s3:// needs a driver of fsspec that is not installed: .*s3fs"):
        open_source("s3://bucket/photos")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(GannetError, match=r"pip install 'gannet-hash\[fsspec\]'"):
        open_source("s3://bucket/photos")
