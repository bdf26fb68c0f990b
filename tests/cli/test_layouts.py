"""Folders as clip-retrieval and img2dataset write them, from `gannet fit` to `gannet search`."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

KEYS = [f"{shard:05}{row:04}" for shard in range(2) for row in range(10)]
FAILED = "000000003"  # an image that could not be downloaded


@pytest.fixture
def pictures(tmp_path: Path, save_image: Callable) -> dict[str, bytes]:
    """Return the content of each picture by its key."""
    return {key: save_image(tmp_path / "p.jpg", number).read_bytes() for number, key in enumerate(KEYS)}


def metadata(key: str) -> dict[str, object]:
    status = "failed_to_download" if key == FAILED else "success"
    return {"url": f"http://host/{key}", "key": key, "status": status, "width": 32, "caption": None, "exif": "{}"}


def write_metadata(folder: Path, images: dict[str, bytes] | None = None) -> None:
    """Write the table and the statistics of each shard, with a column of images if they are given."""
    for shard in ("00000", "00001"):
        keys = [key for key in KEYS if key.startswith(shard)]
        table = pa.Table.from_pylist([metadata(key) for key in keys])
        if images is not None:
            cells = [None if key == FAILED else images[key] for key in keys]
            table = table.append_column("jpg", pa.array(cells, pa.binary()))
        pq.write_table(table, folder / f"{shard}.parquet")
        (folder / f"{shard}_stats.json").write_text("{}")


def write_tars(folder: Path, images: dict[str, bytes]) -> None:
    write_metadata(folder)
    (folder / "_tmp").mkdir()  # stays if img2dataset is interrupted
    for shard in ("00000", "00001"):
        with tarfile.open(folder / f"{shard}.tar", "w") as out:
            for key in (key for key in KEYS if key.startswith(shard) and key != FAILED):
                parts = {"jpg": images[key], "txt": b"a text", "json": json.dumps(metadata(key)).encode()}
                for ending, content in parts.items():
                    info = tarfile.TarInfo(f"{key}.{ending}")
                    info.size = len(content)
                    out.addfile(info, io.BytesIO(content))


def write_files(folder: Path, images: dict[str, bytes]) -> None:
    write_metadata(folder)
    for key in (key for key in KEYS if key != FAILED):
        path = folder / key[:5] / f"{key}.jpg"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(images[key])
        path.with_suffix(".txt").write_text("a text")
        path.with_suffix(".json").write_text(json.dumps(metadata(key)))


@pytest.mark.parametrize(
    ("write", "item"),
    [
        (write_tars, "00001.tar!000010002.jpg"),
        (write_files, "00001/000010002.jpg"),
        (write_metadata, "00001.parquet#2"),
    ],
    ids=["webdataset", "files", "parquet"],
)
def test_img2dataset(write: Callable, item: str, tmp_path: Path, pictures: dict[str, bytes], tiny, run) -> None:
    folder, model, file = tmp_path / "images", tmp_path / "m", tmp_path / "c"
    folder.mkdir()
    write(folder, pictures)
    assert run("fit", folder, "-o", model, "--method", "lsh", "--bits", 16).status == 0
    indexed = run("index", folder, "-m", model, "-o", file)
    skipped = ", skipped 1" if write is write_metadata else ""
    assert indexed.out == f"added 19 items{skipped}: {file} holds 19\n"
    assert ("00000.parquet#3: the row holds no image bytes" in indexed.err) == bool(skipped)
    query = tmp_path / "query.jpg"
    query.write_bytes(pictures["000010002"])
    for text in (query, folder / item):
        (answer,) = json.loads(run("search", file, text, "-k", 1, "--json").out)
        assert (answer["results"][0]["path"], answer["results"][0]["distance"]) == (str(folder / item), 0)


@pytest.mark.parametrize("sides", [("img", "text"), ("text",)])
def test_clip_retrieval(sides: tuple[str, ...], tmp_path: Path, run) -> None:
    folder, model, file = tmp_path / "embeddings", tmp_path / "m", tmp_path / "c"
    vectors = np.random.default_rng(0).normal(size=(24, 16)).astype(np.float16)
    (folder / "metadata").mkdir(parents=True)
    for part in range(12):
        rows = range(2 * part, 2 * part + 2)
        columns = {"image_path": [f"{row:09}" for row in rows], "caption": ["a text"] * 2, "similarity": [0.3, 0.4]}
        if "img" not in sides:
            del columns["image_path"]
        pq.write_table(pa.table(columns), folder / "metadata" / f"metadata_{part:02}.parquet")
        for side in sides:
            (folder / f"{side}_emb").mkdir(exist_ok=True)
            np.save(folder / f"{side}_emb" / f"{side}_emb_{part:02}.npy", vectors[rows] * (1 if side == "img" else -1))
    source = folder if "img" in sides else folder / "text_emb"
    assert run("fit", source, "-o", model, "--bits", 8).status == 0
    assert run("index", source, "-m", model, "-o", file).out == f"added 24 items: {file} holds 24\n"
    query = f"{folder / f'{sides[0]}_emb' / f'{sides[0]}_emb_05.npy'}#1"
    (answer,) = json.loads(run("search", file, query, "-k", 1, "--json").out)
    expected = "000000011" if "img" in sides else f"{source}#11"
    assert answer["results"][0]["path"] == expected and answer["results"][0]["distance"] == 0
