"""``gannet duplicates``: its JSON, its page, and that copies of an image are found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from gannet.search import Collection
from gannet.web import duplicates_page


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
        codes = collection.codes()[1]
        for group in groups:
            assert len(np.unique(collection.code([item["id"] for item in group]), axis=0)) == 1
        assert sum(len(group) - 1 for group in groups) == len(codes) - len(np.unique(codes, axis=0))
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") == sum(map(len, groups))
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)&amp;.png" in html
    text = run("duplicates", image_collection, "--radius", 0)
    assert text.status == 0 and text.out.startswith(f"{len(groups):,} groups within 0 of 16 bits\n")


def test_no_duplicates_and_bad_options(matrix_collection: Path, run) -> None:
    with Collection.open(matrix_collection) as collection:
        ids, codes = collection.codes()
        _, first = np.unique(codes, axis=0, return_index=True)
        collection.remove(np.setdiff1d(ids, ids[first]))
    assert run("duplicates", matrix_collection, "--radius", 0, "--json").out == "[]\n"
    assert run("duplicates", matrix_collection, "--radius", 0).out == "no two items within 0 of 12 bits\n"
    for arguments in (["--radius", -1], ["--radius", "x"], ["--html", matrix_collection]):
        result = run("duplicates", matrix_collection, *arguments)
        assert result.status == 2 and result.err.count("\n") == 1
    assert "Example: gannet duplicates " in run("duplicates", "--help").out


def test_a_page_of_many_shows_the_first() -> None:
    groups = [[{"id": i, "path": f"{i}.jpg"} for i in range(50)] for _ in range(300)]
    html = duplicates_page(groups, "t", 64, 4, lambda path: None)
    assert html.count("<section") == 200 and html.count('<li class="item"') == 200 * 20
    assert "300 groups" in html and "Shown are the first 200" in html and "and 30 more" in html
    assert "No duplicates." in duplicates_page([], "t", 64, 4, lambda path: None)
