"""``gannet duplicates`` finds copies of an image, and writes JSON and a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

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
            assert {key: type(value) for key, value in item.items()} == {
                "id": int, "path": str, "keep": bool, "bytes": int, "width": int, "height": int, "date": str
            }  # fmt: skip
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


def test_without_features_a_notice_recommends_them(matrix_collection: Path, run) -> None:
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


# Exact duplicates, pages of text, pictures without contrast ---------------------------------------


def group_names(result) -> list[set[str]]:
    assert result.status == 0, result.err
    return [{Path(item["path"]).name for item in group} for group in json.loads(result.out)]


def with_comment(source: Path, target: Path) -> Path:
    """Copy a JPEG with other metadata."""
    data = source.read_bytes()
    target.write_bytes(data[:2] + b"\xff\xfe\x00\x07hello" + data[2:])
    return target


def test_exact_duplicates_have_the_same_bytes_or_pixels(
    photos: Path, image_collection: Path, tmp_path: Path, run, monkeypatch
) -> None:
    with Image.open(photos / "03.png") as image:
        image.save(photos / "again.bmp")
        image.convert("RGBA").save(photos / "opaque.png")
        image.save(photos / "packed.webp", lossless=True)
        image.save(photos / "near.jpg", quality=95)
        image.transpose(Image.Transpose.ROTATE_90).save(photos / "turned.png")
        exif = Image.Exif()
        exif[0x0112], exif[0x0132] = 6, "2020:02:03 04:05:06"
        image.transpose(Image.Transpose.ROTATE_90).save(photos / "upright.png", exif=exif)
    with_comment(photos / "near.jpg", photos / "comment.jpg")
    shutil.copy(photos / "10.png", photos / "bytes.png")
    assert run("sync", image_collection, photos).status == 0
    page = tmp_path / "page.html"
    result = run("duplicates", image_collection, "--exact", "--json", "--html", page)
    same = {"03.png", "again.bmp", "opaque.png", "packed.webp", "upright.png"}
    assert group_names(result) == [same, {"10.png", "bytes.png"}, {"near.jpg", "comment.jpg"}]
    assert {item["date"] for item in json.loads(result.out)[0]} >= {"2020-02-03 04:05:06"}
    html = page.read_text("utf-8")
    assert "Exact duplicates in photos.gannet" in html and "the same bytes or the same pixels" in html
    assert "32 x 32" in html and "bits" not in html.partition("<main")[0].rpartition("lead")[2]
    text = run("duplicates", image_collection, "--exact")
    assert text.out.startswith("3 groups with the same bytes or pixels\n") and text.err == ""
    with Collection.open(image_collection) as collection:
        stored = collection.pixel_digests(collection.ids)
        assert len(stored) >= 7
    shutil.rmtree(photos)  # the digests are stored
    assert group_names(run("duplicates", image_collection, "--exact", "--json")) == group_names(result)
    for arguments in (("--radius", 2), ("--cosine", 0.5)):
        refused = run("duplicates", image_collection, "--exact", *arguments)
        assert refused.status == 2 and refused.err.count("\n") == 1


def test_deep_pictures_are_compared_in_full_depth(photos: Path, image_collection: Path, run) -> None:
    values = np.arange(32 * 32, dtype=np.uint16).reshape(32, 32) * 60
    for name, added in (("deep", 0), ("deep copy", 0), ("deeper", 1)):
        Image.fromarray(values + np.uint16(added)).save(photos / f"{name}.png", compress_level=len(name) % 9)
    assert run("sync", image_collection, photos).status == 0
    assert group_names(run("duplicates", image_collection, "--exact", "--json")) == [{"deep.png", "deep copy.png"}]


def test_the_largest_picture_is_suggested_to_be_kept(photos: Path, image_collection: Path, run) -> None:
    (photos / "reference").mkdir()
    with Image.open(photos / "03.png") as image:
        image.resize((64, 64), Image.Resampling.NEAREST).save(photos / "large.png")
        image.save(photos / "reference" / "a.bmp")
    shutil.copy(photos / "03.png", photos / "reference" / "b.png")
    assert run("sync", image_collection, photos).status == 0

    def kept(*arguments: object) -> set[str]:
        groups = json.loads(run("duplicates", image_collection, "--radius", 2, "--json", *arguments).out)
        (group,) = (group for group in groups if any(item["id"] == 3 for item in group))
        return {Path(item["path"]).name for item in group if item["keep"]}

    assert kept() == {"large.png"}
    assert kept("--keep", photos / "reference") == {"a.bmp", "b.png"}
    assert kept("--keep", photos / "reference", "--keep", photos / "sub") == {"a.bmp", "b.png"}
    assert kept("--keep", photos / "ref") == {"large.png"}
    lines = run("duplicates", image_collection, "--radius", 2).out.splitlines()
    (line,) = (line for line in lines if line.endswith("large.png"))
    assert line.split()[1:3] == ["keep", "64x64"] and "kB" in line


def test_ignored_groups_are_remembered(photos: Path, image_collection: Path, run) -> None:
    for name in ("copy", "copy2"):
        shutil.copy(photos / "03.png", photos / f"{name}.png")
    shutil.copy(photos / "10.png", photos / "other.png")
    assert run("sync", image_collection, photos).status == 0
    before = group_names(run("duplicates", image_collection, "--exact", "--json"))
    assert before == [{"03.png", "copy.png", "copy2.png"}, {"10.png", "other.png"}]
    with Collection.open(image_collection) as collection:
        ids = [collection.find_path(str(photos / f"{name}.png"))[0] for name in ("03", "copy", "copy2", "10", "other")]
    assert group_names(run("duplicates", image_collection, "--exact", "--json", "--ignore", f"{ids[3]}, {ids[4]}")) == [
        before[0]
    ]
    for arguments in (("--exact",), ("--exact", "--ignore", f"{ids[0]},{ids[1]}")):
        assert group_names(run("duplicates", image_collection, "--json", *arguments)) == [before[0]]  # two of three
    assert run("duplicates", image_collection, "--ignore", ",".join(map(str, ids[:3]))).status == 0
    assert group_names(run("duplicates", image_collection, "--exact", "--json")) == []
    near = group_names(run("duplicates", image_collection, "--json"))
    assert before[0] not in near and before[1] not in near
    shutil.copy(photos / "10.png", photos / "third.png")
    assert run("sync", image_collection, photos).status == 0
    assert group_names(run("duplicates", image_collection, "--exact", "--json")) == [before[1] | {"third.png"}]
    for bad in ("3", "a,b", "3,", "3,99999", "3,-1", "99999999999999999999,3"):
        refused = run("duplicates", image_collection, "--ignore", bad)
        assert refused.status == 2 and refused.err.count("\n") == 1


def page_of_text(seed: int, size: tuple[int, int] = (400, 560), lines: int = 30) -> Image.Image:
    random = np.random.default_rng(seed)
    page = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(page)
    for line in range(lines):
        words = "".join(random.choice(list("abcdefghijklmnopqrstuvwxyz     "), 52))
        draw.text((30, 30 + line * 17), words, fill="black")
    return page


def test_pages_of_text_are_duplicates_only_of_their_copies(
    photos: Path, image_model: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in photos.rglob("*.png"):
        path.unlink()
    for i in range(4):
        page_of_text(i).save(photos / f"page {i}.png")
    page_of_text(0).save(photos / "copy.jpg", quality=60)
    page_of_text(1).resize((300, 420), Image.Resampling.LANCZOS).save(photos / "smaller.png")
    for kept in ((), ("--keep-features",)):
        file = tmp_path / f"c{len(kept)}"
        assert run("index", photos, "-m", image_model, "-o", file, *kept).status == 0
        groups = group_names(run("duplicates", file, "--json", "--radius", 16))
        assert sorted(map(sorted, groups)) == [["copy.jpg", "page 0.png"], ["page 1.png", "smaller.png"]]
        groups = group_names(run("duplicates", file, "--json"))
        assert all(group in ({"copy.jpg", "page 0.png"}, {"page 1.png", "smaller.png"}) for group in groups)


@pytest.mark.parametrize("layout", ["whole", "short", "columns", "letter", "uneven light"])
def test_pages_of_a4_differ_by_their_text(layout: str, photos: Path, image_model: Path, tmp_path: Path, run) -> None:
    for path in photos.rglob("*.png"):
        path.unlink()
    for i in range(4):
        a4_page(i, layout).save(photos / f"page {i}.png")
    copy = a4_page(0, layout)
    copy.rotate(0.4, fillcolor=255, resample=Image.Resampling.BICUBIC).save(photos / "turned.png")
    copy.resize((620, 877), Image.Resampling.LANCZOS).save(photos / "small.jpg", quality=60)
    file = tmp_path / "c"
    assert run("index", photos, "-m", image_model, "-o", file).status == 0
    groups = group_names(run("duplicates", file, "--json", "--radius", 16))
    assert groups == [{"page 0.png", "turned.png", "small.jpg"}]


def a4_page(seed: int, layout: str) -> Image.Image:
    random = np.random.default_rng(seed)
    page = Image.new("L", (1240, 1754), 255)
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(24)
    top, end = (330 if layout == "letter" else 130), (700 if layout == "short" else 1620)
    if layout == "letter":
        draw.text((120, 60), "Example Shipping Company", font=ImageFont.load_default(44), fill=0)
        draw.line((120, 290, 1120, 290), fill=0, width=4)
    edges = [(120, 600), (640, 1120)] if layout == "columns" else [(120, 1120)]
    for y in range(top, end, 32):
        for left, right in edges:
            text = "".join(random.choice(list("abcdefghijklmnopqrstuvwxyz     "), 150))
            while draw.textlength(text, font=font) > right - left:
                text = text[:-1]
            draw.text((left, y), text, font=font, fill=0)
    if layout == "uneven light":
        light = np.linspace(0.75, 1, 1754)[:, None] * np.linspace(0.9, 1, 1240)
        page = Image.fromarray((np.asarray(page) * light).astype(np.uint8))
    return page


def test_a_reference_folder_without_items_is_named(image_collection: Path, photos: Path, run) -> None:
    result = run("duplicates", image_collection, "--keep", "elsewhere", "--keep", photos)
    assert result.status == 0 and "--keep elsewhere: " in result.err and f"--keep {photos}" not in result.err


def test_pictures_without_contrast_are_duplicates_only_if_all_pixels_agree(
    photos: Path, image_model: Path, tmp_path: Path, run
) -> None:
    for path in photos.rglob("*.png"):
        path.unlink()
    for level in (250, 251, 255):
        Image.new("RGB", (40, 40), (level,) * 3).save(photos / f"{level}.png")
        Image.new("RGB", (41, 40), (level,) * 3).save(photos / f"wide {level}.png")
    Image.new("L", (40, 40), 250).save(photos / "250.bmp")
    file = tmp_path / "c"
    assert run("index", photos, "-m", image_model, "-o", file, "--keep-features").status == 0
    assert group_names(run("duplicates", file, "--json", "--radius", 16)) == [{"250.png", "250.bmp"}]


def test_pictures_that_are_gone_stay_in_their_groups(photos: Path, image_collection: Path, run) -> None:
    shutil.copy(photos / "03.png", photos / "copy.png")
    assert run("sync", image_collection, photos).status == 0
    before = group_names(run("duplicates", image_collection, "--json"))
    shutil.rmtree(photos)
    result = run("duplicates", image_collection, "--json")
    assert group_names(result) == before
    assert {item["bytes"] for group in json.loads(result.out) for item in group} == {None}
    assert run("duplicates", image_collection).status == 0
