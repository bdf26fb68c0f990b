"""``gannet duplicates`` finds copies of an image, and writes JSON and a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from gannet.collection import Collection
from gannet.pages import duplicates_page


def test_copies_are_found(photos: Path, image_collection: Path, tmp_path: Path, run) -> None:
    shutil.copy(photos / "03.png", photos / "exact.png")
    with Image.open(photos / "03.png") as image:
        image.save(photos / "again.bmp")
        image.resize((64, 64), Image.Resampling.NEAREST).save(photos / "larger.jpg", quality=95)
    hostile = photos / "<script>alert(1)&.png"
    shutil.copy(photos / "03.png", hostile)
    assert run("add", image_collection, photos).status == 0
    page = tmp_path / "page.html"
    result = run("duplicates", image_collection, "--radius", 0, "--json", "--html", page)
    assert (result.status, result.err) == (0, "")
    groups = json.loads(result.out)
    for group in groups:
        assert len(group) >= 2
        for item in group:
            assert {key: type(value) for key, value in item.items()} == {"id": int, "path": str}
    names = {str(photos / name) for name in ("03.png", "exact.png", "again.bmp")} | {str(hostile)}
    assert any(names <= {item["path"] for item in group} for group in groups)
    with Collection.open(image_collection) as collection:
        codes = collection.codes()
        for group in groups:
            assert len(np.unique(collection.codes([item["id"] for item in group]), axis=0)) == 1
        assert sum(len(group) - 1 for group in groups) == len(codes) - len(np.unique(codes, axis=0))
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") == sum(map(len, groups))
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)&amp;.png" in html
    text = run("duplicates", image_collection, "--radius", 0)
    assert text.status == 0 and text.out.partition("\n")[0].endswith(" within 0 of 16 bits")


def test_no_duplicates_and_bad_options(matrix_collection: Path, run) -> None:
    with Collection.open(matrix_collection) as collection:
        ids, codes = collection.ids, collection.codes()
        _, first = np.unique(codes, axis=0, return_index=True)
        collection.remove(np.setdiff1d(ids, ids[first]))
    assert run("duplicates", matrix_collection, "--radius", 0, "--json").out == "[]\n"
    assert run("duplicates", matrix_collection, "--radius", 0).out == "no two items within 0 of 12 bits\n"
    for arguments in (["--radius", -1], ["--radius", "x"], ["--html", matrix_collection]):
        result = run("duplicates", matrix_collection, *arguments)
        assert result.status == 2 and result.err.count("\n") == 1
    assert "Example: gannet duplicates " in run("duplicates", "--help").out


def test_features_are_compared_where_they_are_kept(photos: Path, image_model: Path, tmp_path: Path, run) -> None:
    kept, page = tmp_path / "kept.gannet", tmp_path / "page.html"
    with Image.open(photos / "03.png") as image:
        image.save(photos / "again.bmp")
    assert run("index", photos, "-m", image_model, "-o", kept, "--keep-features").status == 0
    with Collection.open(kept) as collection:
        ids, codes = collection.ids, collection.codes()
        features = collection.features(ids).astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    near = np.bitwise_count(codes[:, None] ^ codes).sum(axis=2) <= 1
    linked = near & (features @ features.T >= 0.9) & ~np.eye(len(ids), dtype=bool)
    result = run("duplicates", kept, "--json", "--html", page)
    assert (result.status, result.err) == (0, "")
    groups = json.loads(result.out)
    assert {item["id"] for group in groups for item in group} == set(ids[linked.any(axis=1)].tolist())
    assert any({"03.png", "again.bmp"} <= {Path(item["path"]).name for item in group} for group in groups)
    assert "cosine of at least 0.9" in page.read_text("utf-8")
    for arguments, reach in (
        ((), "1 of 16 bits and a cosine of 0.9"),
        (("--radius", 2, "--cosine", 0.99), "2 of 16 bits and a cosine of 0.99"),
        (("--cosine", 0), "0 of 16 bits"),
    ):
        text = run("duplicates", kept, *arguments)
        assert text.out.partition("\n")[0].endswith(f" within {reach}") and text.err == ""
    for cosine in (-1, 1.5, "nan", "x"):
        refused = run("duplicates", kept, "--cosine", cosine)
        assert refused.status == 2 and refused.err.count("\n") == 1


def test_without_features_the_notice_says_what_they_are_for(matrix_collection: Path, run) -> None:
    result = run("duplicates", matrix_collection, "--radius", 3)
    assert result.status == 0 and "--keep-features" in result.err and result.err.count("\n") == 1
    assert run("duplicates", matrix_collection, "--radius", 3, "--json").err == ""
    refused = run("duplicates", matrix_collection, "--cosine", 0.9)
    assert refused.status == 2 and "--keep-features" in refused.err and refused.err.count("\n") == 1


def test_a_page_of_many_shows_the_first() -> None:
    groups = [[{"id": i, "path": f"{i}.jpg"} for i in range(50)] for _ in range(300)]
    html = duplicates_page(groups, "t", 64, 4, lambda path: None)
    assert html.count("<section") == 200 and html.count('<li class="item"') == 200 * 20
    assert "300 groups" in html and "This page shows the first 200 groups." in html and "and 30 more" in html
    assert "cosine" not in html and "cosine of at least 0.9." in duplicates_page([], "t", 64, 4, lambda path: None, 0.9)
    assert "No near-duplicates found." in duplicates_page([], "t", 64, 4, lambda path: None)
