"""``gannet encode`` writes folders of codes, of which ``gannet index`` and ``add`` make collections."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import N_IMAGES, Run
from gannet.code_folder import CodeFolder
from gannet.collection import Collection


def contents(collection: Path) -> list[tuple[int, str, bytes | None, bytes, str | None]]:
    """Return ids, paths, digests, codes and containers of a collection, after a check of the whole file."""
    with Collection.open(collection) as opened:
        opened.check()
        items, codes = opened.items(opened.ids), opened.codes()
        return [
            (item.id, item.path, item.digest, bytes(code), item.origin.container)
            for item, code in zip(items, codes, strict=True)
        ]


def test_a_collection_of_a_folder_of_codes_is_that_of_the_images(
    run: Run, photos: Path, image_model: Path, image_collection: Path, encoded: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    result = run("encode", photos, "-m", image_model, "-o", folder)
    assert result.status == 0 and result.err == ""
    assert f"encoded {N_IMAGES} items in " in result.out and f"{folder} holds {N_IMAGES} in 1 files" in result.out
    del encoded[:]
    result = run("index", folder, "-o", tmp_path / "c")
    assert (result.status, result.out) == (0, f"added {N_IMAGES} items: {tmp_path / 'c'} holds {N_IMAGES}\n")
    assert contents(tmp_path / "c") == contents(image_collection)
    assert not encoded
    found = run("search", tmp_path / "c", photos / "07.png", "--json")
    assert json.loads(found.out) == json.loads(run("search", image_collection, photos / "07.png", "--json").out)


def test_a_rerun_encodes_what_is_missing(
    run: Run, photos: Path, image_model: Path, encoded: list[int], tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    assert run("encode", photos, "-m", image_model, "-o", folder).status == 0
    (file,) = folder.glob("codes-*.parquet")
    before = file.read_bytes()
    file.unlink()
    result = run("index", folder, "-o", tmp_path / "c")
    assert result.status == 2 and "is not complete, it holds 0 of 1 files: run the same `gannet encode`" in result.err
    assert not (tmp_path / "c").exists()
    del encoded[:]
    result = run("encode", photos, "-m", image_model, "-o", folder, "--json")
    assert len(encoded) == N_IMAGES and file.read_bytes() == before
    done = json.loads(result.out)
    assert done.pop("seconds") > 0
    counts = {"n_items": N_IMAGES, "n_encoded": N_IMAGES, "n_skipped": 0, "n_shards": 1}
    assert done == {"folder": str(folder)} | counts
    result = run("encode", photos, "-m", image_model, "-o", folder, "--json")
    assert len(encoded) == N_IMAGES and json.loads(result.out)["n_encoded"] == 0


def test_items_that_cannot_be_read_are_named_and_their_ids_stay_free(
    run: Run, photos: Path, image_model: Path, tmp_path: Path, save_image: Callable[[Path, int], Path]
) -> None:
    (photos / "03.png").write_bytes(b"no image")
    save_image(photos / os.fsdecode(b"\xff.png"), 99)
    folder = tmp_path / "codes"
    result = run("encode", photos, "-m", image_model, "-o", folder)
    lines = result.err.splitlines()
    assert result.status == 0 and lines[0] == "skipped 2:" and len(lines) == 3
    assert any(line.startswith(f"  {photos}/03.png: not an image") for line in lines)
    assert any(line.endswith("its name is not UTF-8, which Parquet cannot hold: rename it") for line in lines)
    assert run("encode", photos, "-m", image_model, "-o", folder).err == result.err
    result = run("index", folder, "-o", tmp_path / "c")
    assert result.out == f"added {N_IMAGES - 1} items, skipped 2: {tmp_path / 'c'} holds {N_IMAGES - 1}\n"
    assert [item[0] for item in contents(tmp_path / "c")] == [i for i in range(N_IMAGES) if i != 3]
    again = run("add", tmp_path / "c", folder)
    assert again.out.startswith(f"added 0 items, left {N_IMAGES - 1} unchanged, skipped 2: ")


def test_a_folder_is_exported(
    run: Run, photos: Path, image_model: Path, tmp_path: Path, save_image: Callable[[Path, int], Path]
) -> None:
    pytest.importorskip("duckdb")
    (photos / "03.png").write_bytes(b"no image")
    target = f"duckdb:{tmp_path}/target"
    assert run("encode", photos, "-m", image_model, "-o", tmp_path / "codes").status == 0
    result = run("export", tmp_path / "codes", target, "--json")
    assert result.err.startswith("skipped 1:\n") and "03.png: not an image" in result.err
    n_items = N_IMAGES - 1
    facts = {"items": n_items, "exact": True, "recall": None, "added": n_items, "removed": 0, "renamed": 0}
    assert json.loads(result.out) == {"target": target} | facts
    assert run("index", tmp_path / "codes", "-o", tmp_path / "c").status == 0
    for query in (7, photos / "07.png", photos / "sub"):
        found = run("search", target, query, "--json")
        assert found.status == 0 and json.loads(found.out) == json.loads(
            run("search", tmp_path / "c", query, "--json").out
        )
    save_image(photos / "03.png", 99)
    save_image(photos / "z.png", 100)
    assert run("encode", photos, "-m", image_model, "-o", tmp_path / "grown").status == 0
    result = run("export", tmp_path / "grown", target)
    assert result.status == 2 and f"an earlier state of {tmp_path}/grown: bring it up to date with --sync" in result.err
    result = run("export", tmp_path / "grown", target, "--sync")
    assert (result.status, result.err) == (0, "") and f"holds {N_IMAGES + 1} items: 2 added" in result.out
    found = json.loads(run("search", target, photos / "z.png", "-k", N_IMAGES + 1, "--json").out)[0]["results"]
    assert {item["id"]: item["path"] for item in found}[N_IMAGES] == str(photos / "z.png")


def test_an_item_of_two_sources_is_encoded_once(run: Run, photos: Path, image_model: Path, tmp_path: Path) -> None:
    archive = tmp_path / "some.zip"
    with zipfile.ZipFile(archive, "w") as pack:
        for name in ("00.png", "01.png"):
            pack.write(photos / name, name)
    sources = (photos / "sub", photos, archive)
    assert run("encode", *sources, "-m", image_model, "-o", tmp_path / "codes").status == 0
    assert run("index", *sources, "-m", image_model, "-o", tmp_path / "direct").status == 0
    assert run("index", tmp_path / "codes", "-o", tmp_path / "c").status == 0
    assert contents(tmp_path / "c") == contents(tmp_path / "direct")
    assert len(contents(tmp_path / "c")) == N_IMAGES + 2


def test_rows_of_a_matrix(run: Run, matrix: Path, matrix_model: Path, matrix_collection: Path, tmp_path: Path) -> None:
    folder = tmp_path / "codes"
    assert run("encode", matrix, "-m", matrix_model, "-o", folder).status == 0
    assert run("index", folder, "-o", tmp_path / "c").status == 0
    assert contents(tmp_path / "c") == contents(matrix_collection)
    (block,) = CodeFolder.open(folder).blocks()
    assert block.ids.tolist() == list(range(100)) and block.codes.shape == (100, 2) and list(block.digests) == []


def test_what_a_folder_refuses(
    run: Run, matrix: Path, vectors: np.ndarray, matrix_model: Path, photos: Path, image_model: Path, tmp_path: Path
) -> None:
    folder, other = tmp_path / "codes", tmp_path / "other.npy"
    np.save(other, vectors[:50])
    assert run("fit", matrix, "-o", tmp_path / "o.model", "--method", "lsh", "--bits", 12).status == 0
    assert run("encode", matrix, "-m", matrix_model, "-o", folder).status == 0

    def refusal(*arguments: object) -> str:
        result = run(*arguments)
        assert result.status == 2 and result.out == "" and result.err.count("\n") == 1, result
        return result.err

    assert "holds the codes of another model" in refusal("encode", matrix, "-m", tmp_path / "o.model", "-o", folder)
    assert "holds the codes of another source" in refusal("encode", other, "-m", matrix_model, "-o", folder)
    options = ("--names", tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("".join(f"{i}\n" for i in range(100)))
    assert "read with other options" in refusal("encode", matrix, *options, "-m", matrix_model, "-o", folder)
    np.save(matrix, vectors[:90])
    changed = f"{matrix} has changed since {folder} was begun (100 items then, 90 now)"
    assert changed in refusal("encode", matrix, "-m", matrix_model, "-o", folder)
    assert "holds other files, such as 00.png" in refusal("encode", matrix, "-m", matrix_model, "-o", photos)
    assert "is a matrix, but the model reads" in refusal("encode", matrix, "-m", image_model, "-o", tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert "holds codes, not images or features" in refusal("fit", folder, "-o", tmp_path / "m")
    assert "holds codes, not images or features" in refusal("encode", folder, "-m", matrix_model, "-o", tmp_path / "x")
    assert "Missing option '-m'" in refusal("index", matrix, "-o", tmp_path / "c")
    assert "give it alone and without a model" in refusal("index", folder, matrix, "-o", tmp_path / "c")
    assert "give it alone and without a model" in refusal("index", folder, "-m", matrix_model, "-o", tmp_path / "c")
    assert run("index", other, "-m", tmp_path / "o.model", "-o", tmp_path / "d").status == 0
    assert "was made with another model" in refusal("add", tmp_path / "d", folder)
    assert "give it alone" in refusal("add", tmp_path / "d", folder, other)
    assert "give it alone" in refusal("add", tmp_path / "d", folder, "--skip-nan")


@pytest.mark.parametrize("damage", ["cut", "flipped", "other model", "header"])
def test_a_damaged_folder_is_one_clear_line(
    damage: str, run: Run, matrix: Path, matrix_model: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "codes"
    assert run("encode", matrix, "-m", matrix_model, "-o", folder).status == 0
    file = folder / "codes-000000.parquet"
    raw = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(raw[:-30])
    elif damage == "flipped":
        raw[200] ^= 1
        file.write_bytes(raw)
    elif damage == "other model":
        assert run("fit", matrix, "-o", tmp_path / "o.model", "--method", "lsh", "--bits", 12).status == 0
        (folder / "model.safetensors").write_bytes((tmp_path / "o.model").read_bytes())
    else:
        (folder / "gannet-codes.json").write_text("{}")
    result = run("index", folder, "-o", tmp_path / "c")
    assert result.status == 2 and result.out == "" and result.err.count("\n") == 1, result
    assert not (tmp_path / "c").exists()


def test_sources_at_urls(run: Run, photos: Path, image_model: Path, image_collection: Path, tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    url, folder = f"file://{photos}", tmp_path / "codes"
    assert run("encode", url, "-m", image_model, "-o", folder, "--workers", 2).status == 0
    assert run("index", folder, "-o", tmp_path / "c").status == 0
    assert run("index", url, "-m", image_model, "-o", tmp_path / "direct").status == 0
    assert contents(tmp_path / "c") == contents(tmp_path / "direct")
    local = [(id_, f"file://{path}", *rest) for id_, path, *rest in contents(image_collection)]
    assert [item[:4] for item in contents(tmp_path / "c")] == [item[:4] for item in local]
    found = json.loads(run("search", tmp_path / "c", f"{url}/07.png", "--json").out)
    assert found[0]["query"] == f"{url}/07.png" and found[0]["results"][0]["path"] == f"{url}/07.png"
    assert run("fit", url, "-o", tmp_path / "m", "--method", "lsh", "--bits", 16).status == 0
