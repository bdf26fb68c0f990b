"""From a source to a search result through the command line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.backbones import get_backbone
from gannet.codes import hamming
from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.model import Model


def search(run, collection, *arguments) -> list:
    result = run("search", collection, *arguments, "--json")
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)


def ids(answer) -> list[int]:
    return [item["id"] for item in answer["results"]]


def test_images_from_fit_to_remove(tmp_path: Path, photos: Path, tiny, run) -> None:
    model, collection = tmp_path / "m", tmp_path / "c"
    fitted = run("fit", photos, "-o", model, "--method", "itq", "--bits", 12)
    assert (fitted.status, fitted.err) == (0, "")
    assert fitted.out.startswith("learned 12 bits from 60 items with itq in ") and str(model) in fitted.out
    indexed = run("index", photos, "-m", model, "-o", collection)
    assert (indexed.status, indexed.err, indexed.out) == (0, "", f"added 60 items: {collection} holds 60\n")

    answers = search(run, collection, "7", photos / "sub" / "last.png", "-k", 5)
    assert [answer["query"] for answer in answers] == ["7", str(photos / "sub" / "last.png")]
    assert answers[0]["results"][0] == {"id": 7, "path": str(photos / "07.png"), "distance": 0}
    assert answers[1]["results"][0]["distance"] == 0
    assert 59 in ids(answers[1])

    removed = run("remove", collection, 7, 7, 59)
    assert (removed.status, removed.err, removed.out) == (0, "", f"removed 2 items: {collection} holds 58\n")
    assert 7 not in ids(search(run, collection, photos / "07.png", "-k", 100)[0])
    added = run("add", collection, photos)
    assert (added.status, added.err) == (0, "")
    assert added.out == f"added 2 items, left 58 unchanged: {collection} holds 60\n"
    assert len(ids(search(run, collection, photos / "07.png", "-k", 100)[0])) == 60


def test_answers_are_the_nearest_codes_by_distance_then_id(matrix_collection: Path, vectors, matrix_model, run) -> None:
    codes = Model.load(matrix_model).encoder.encode(vectors)
    distances = hamming(codes[:3], codes)
    nearest = search(run, matrix_collection, "0", "1", "2", "-k", 17)
    within = search(run, matrix_collection, "0", "1", "2", "--radius", 3)
    for query in range(3):
        order = np.lexsort((np.arange(100), distances[query]))
        assert ids(nearest[query]) == order[:17].tolist()
        assert [item["distance"] for item in nearest[query]["results"]] == distances[query][order[:17]].tolist()
        assert ids(within[query]) == [i for i in order.tolist() if distances[query][i] <= 3]


def test_json_has_exactly_the_fixed_form(image_collection: Path, run) -> None:
    answers = search(run, image_collection, "3", "4", "-k", 2)
    assert type(answers) is list and len(answers) == 2
    for answer in answers:
        assert {key: type(value) for key, value in answer.items()} == {"query": str, "results": list}
        assert len(answer["results"]) == 2
        for item in answer["results"]:
            assert {key: type(value) for key, value in item.items()} == {"id": int, "path": str, "distance": int}


def test_plain_output_has_a_line_a_result(image_collection: Path, photos: Path, run) -> None:
    result = run("search", image_collection, "3", "-k", 2)
    lines = result.out.splitlines()
    assert (result.status, result.err, len(lines), lines[0]) == (0, "", 3, "3")
    assert lines[1].split() == ["0", "3", str(photos / "03.png")]


def test_k_above_the_collection_and_radius_zero(image_collection: Path, run) -> None:
    assert len(ids(search(run, image_collection, "3", "-k", 10**12)[0])) == 60
    assert all(item["distance"] == 0 for item in search(run, image_collection, "3", "--radius", 0)[0]["results"])
    assert len(ids(search(run, image_collection, "3", "--radius", 10**12)[0])) == 60


def test_queries_by_item_path_need_no_file(image_collection: Path, photos: Path, run) -> None:
    (photos / "05.png").unlink()
    answer = search(run, image_collection, photos / "05.png", "-k", 1)[0]
    assert answer["results"] == [{"id": 5, "path": str(photos / "05.png"), "distance": 0}]


def test_query_by_an_image_outside_the_collection(tmp_path: Path, image_collection: Path, photos: Path, run) -> None:
    copy = tmp_path / "copy.png"
    Image.open(photos / "11.png").save(copy)
    answer = search(run, image_collection, copy, "-k", 60)[0]
    assert next(item for item in answer["results"] if item["id"] == 11)["distance"] == 0


def test_zip_of_images(tmp_path: Path, photos: Path, image_model: Path, image_collection: Path, run) -> None:
    import zipfile

    archive, collection = tmp_path / "photos.zip", tmp_path / "zip.gannet"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(photos.glob("*.png")):
            file.write(path, path.name)
    assert run("index", archive, "-m", image_model, "-o", collection).status == 0
    with Collection.open(collection) as zipped, Collection.open(image_collection) as plain:
        assert zipped.paths([0]) == [f"{archive}!00.png"]
        np.testing.assert_array_equal(zipped.codes(), plain.codes()[:59])
    assert search(run, collection, f"{archive}!04.png", "-k", 60)[0]["results"][0]["distance"] == 0


def test_every_command_after_the_first_takes_features_from_the_cache(
    tmp_path: Path, photos: Path, tiny, encoded: list[int], run
) -> None:
    model = tmp_path / "m"
    assert run("fit", photos, "-o", model, "--method", "lsh", "--bits", 8).status == 0
    assert len(encoded) == 60
    again = run("fit", photos, "-o", model, "--method", "itq", "--bits", 16)
    assert (again.status, again.err) == (0, "")
    assert run("index", photos, "-m", model, "-o", tmp_path / "c").status == 0
    assert len(encoded) == 60


def test_a_changed_file_is_replaced(photos: Path, image_collection: Path, run) -> None:
    old = search(run, image_collection, "5", "-k", 1)[0]["results"][0]
    Image.open(photos / "06.png").save(photos / "05.png")
    added = run("add", image_collection, photos)
    assert (added.status, added.err) == (0, "")
    assert added.out.startswith("added 1 items, replaced 1 that had changed, left 59 unchanged")
    with Collection.open(image_collection) as collection:
        new = collection.find_path(str(photos / "05.png")).tolist()
        assert len(collection) == 60 and len(new) == 1 and new != [old["id"]]
        np.testing.assert_array_equal(collection.codes(new), collection.codes([6]))


def test_adding_again_changes_nothing(photos: Path, image_collection: Path, run) -> None:
    with Collection.open(image_collection) as collection:
        before = collection.ids
    assert run("add", image_collection, photos).out.startswith("added 0 items, left 60 unchanged")
    with Collection.open(image_collection) as collection:
        np.testing.assert_array_equal(collection.ids, before)


def test_skipped_images_are_counted_and_named(tmp_path: Path, photos: Path, tiny, run) -> None:
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.png").write_text("no picture")
    model, collection = tmp_path / "m", tmp_path / "c"
    for command in (
        ("fit", photos, "-o", model, "--method", "lsh", "--bits", 8),
        ("index", photos, "-m", model, "-o", collection),
        ("add", collection, photos),
    ):
        result = run(*command)
        lines = result.err.splitlines()
        assert result.status == 0 and len(lines) == 3
        assert lines[0] == "skipped 2:"
        assert lines[1] == f"  {photos / 'empty.jpg'}: empty file"
        assert lines[2].startswith(f"  {photos / 'text.png'}: not an image")
    assert "left 60 unchanged, skipped 2" in result.out


@pytest.mark.parametrize("form", ["npy", "npz", "parquet"])
def test_matrices_of_every_form(tmp_path: Path, vectors, form: str, run) -> None:
    path, model, collection = tmp_path / f"v.{form}", tmp_path / "m", tmp_path / "c"
    if form == "npy":
        np.save(path, vectors)
    elif form == "npz":
        np.savez(path, features=vectors)
    else:
        pa = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        names = [f"item-{i}" for i in range(100)]
        parquet.write_table(pa.table({"id": names, "vector": list(vectors)}), path)
    for command in (
        ("fit", path, "-o", model, "--method", "itq", "--bits", 8),
        ("index", path, "-m", model, "-o", collection),
    ):
        result = run(*command)
        taken = "20 features: vector; names: id\n" if form == "parquet" else ""
        assert (result.status, result.err) == (0, taken)
    by_id, by_row = search(run, collection, "42", f"{path}#42", "-k", 100, "--no-asymmetric")
    assert by_id["results"] == by_row["results"]
    wanted = "item-42" if form == "parquet" else f"{path}#42"
    assert next(item["path"] for item in by_id["results"] if item["id"] == 42) == wanted


def test_uhga_on_a_matrix(tmp_path: Path, matrix: Path, run) -> None:
    model = tmp_path / "m"
    settings = ("--set", "n_steps=3", "--set", "loss=likelihood")
    result = run("fit", matrix, "-o", model, "--method", "uhga", "--bits", 16, "--seed", 1, *settings)
    assert (result.status, result.err) == (0, "")
    loaded = Model.load(model)
    assert (loaded.method, loaded.n_bits, loaded.backbone) == ("uhga", 16, None)
    assert loaded.settings["n_steps"] == 3 and loaded.settings["loss"] == "likelihood"
    assert loaded.settings["random_state"] == 1


def test_names_that_are_not_utf8_pass_through(tmp_path: Path, photos: Path, image_model: Path, run) -> None:
    import os

    try:
        odd = os.fsdecode(os.fsencode(photos) + b"/\xff\xe4.png")
        Path(odd).write_bytes((photos / "00.png").read_bytes())
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    collection = tmp_path / "c"
    assert run("index", photos, "-m", image_model, "-o", collection).status == 0
    assert search(run, collection, odd, "--radius", 0)[0]["results"][-1]["path"] == odd
    plain = run("search", collection, odd, "--radius", 0)
    assert (plain.status, plain.err) == (0, "") and "\\udcff" in plain.out


def test_a_matrix_involves_no_image_network(tmp_path: Path, matrix: Path) -> None:
    """The whole chain with itq, as a process of its own, without torch and OpenVINO."""
    model, collection = tmp_path / "m", tmp_path / "c"
    check = (
        "import sys; from gannet.cli import main\n"
        "try: main()\n"
        "except SystemExit as end:\n"
        "    loaded = sorted({'torch', 'openvino', 'PIL.Image'} & set(sys.modules))\n"
        "    print('loaded', loaded); sys.exit(end.code)"
    )
    for command in (
        ("fit", matrix, "-o", model, "--method", "itq", "--bits", 8),
        ("index", matrix, "-m", model, "-o", collection),
        ("search", collection, f"{matrix}#3"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", check, *map(str, command)], capture_output=True, text=True, check=False
        )
        assert (result.returncode, result.stderr) == (0, "")
        heavy = result.stdout.splitlines()[-1]
        assert "torch" not in heavy and "openvino" not in heavy


def test_the_default_backbone_from_images_to_neighbors(tmp_path: Path, photos: Path, run) -> None:
    from gannet.backbones import DEFAULT_BACKBONE

    why_not = type(get_backbone(DEFAULT_BACKBONE)).unavailable()
    if why_not:
        pytest.skip(why_not)
    model, collection = tmp_path / "m", tmp_path / "c"
    assert run("fit", photos, "-o", model, "--method", "lsh", "--bits", 32).err == ""
    assert run("index", photos, "-m", model, "-o", collection).err == ""
    Image.open(photos / "09.png").save(tmp_path / "same.bmp")
    (answer,) = search(run, collection, tmp_path / "same.bmp", "-k", 60)
    distances = {item["id"]: item["distance"] for item in answer["results"]}
    assert distances[9] == 0 and len(set(distances.values())) > 5


def test_lists_and_help(run) -> None:
    methods = json.loads(run("methods", "--json").out)
    assert {"itq", "lsh", "uhga", "uhga-plain"} <= {row["name"] for row in methods}
    assert all(isinstance(row["reference"], str) and row["reference"] for row in methods)
    uhga = next(row for row in methods if row["name"] == "uhga")
    assert "n_steps" in uhga["settings"] and "n_bits" not in uhga["settings"]
    assert "n_steps=" in run("methods").out
    backbones = json.loads(run("backbones", "--json").out)
    assert [row["name"] for row in backbones if row["default"]] == ["efficientnet-lite0"]
    assert {row["name"]: row["example"] for row in backbones if "example" in row} == {
        "hf:NAME_OR_FOLDER": "hf:facebook/dinov2-small",
        "onnx:FILE": "onnx:network.onnx",
        "open_clip:NAME/PRETRAINED": "open_clip:ViT-B-32/laion2b_s34b_b79k",
        "timm:NAME": "timm:vit_small_patch14_dinov2.lvd142m",
    }
    assert "efficientnet-lite0 (default): 1280 features" in run("backbones").out
    assert "timm:NAME: for example timm:vit_small_patch14_dinov2.lvd142m\n" in run("backbones").out
    for command in ("fit", "index", "add", "remove", "search", "methods", "backbones"):
        result = run(command, "--help")
        assert (result.status, result.err) == (0, "") and re.search(r"Examples?:\s+gannet", result.out)
    for arguments in ((), ("--help",)):
        result = run(*arguments)
        assert (result.status, result.err) == (0, "") and result.out.startswith("Usage: gannet ")
    version = run("--version")
    assert version.status == 0 and version.out.startswith("gannet, version ")


def test_a_network_of_another_distribution_is_found_by_name(tmp_path: Path, photos: Path, tiny, run) -> None:
    model, collection = tmp_path / "m", tmp_path / "c"
    listed = run("backbones")
    assert (listed.status, listed.err) == (0, "")
    assert "tiny (default): 24 features, 16 px\n    none\n" in listed.out and "pixel-network: 8 px\n" in listed.out
    rows = {row["name"]: row for row in json.loads(run("backbones", "--json").out)}
    assert rows["pixel-network"] == {
        "name": "pixel-network", "reference": None, "features": None, "size": 8, "default": False, "unavailable": None
    }  # fmt: skip
    fitted = run("fit", photos, "-o", model, "--method", "lsh", "--bits", 16, "--backbone", "pixel-network")
    assert (fitted.status, fitted.err) == (0, "")
    assert run("index", photos, "-m", model, "-o", collection).status == 0
    assert "lsh, pixel-network" in run("info", collection).out
    (answer,) = search(run, collection, photos / "07.png", "-k", 1)
    assert answer["results"][0]["distance"] == 0


def test_search_writes_a_page_with_the_pictures(image_collection: Path, tmp_path: Path, run) -> None:
    page = tmp_path / "neighbors.html"
    result = run("search", image_collection, "0", "-k", "3", "--html", page)
    assert result.status == 0 and str(page) in result.out
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") >= 4
    assert "http://" not in html.replace("http://www.w3.org", "")


def test_a_failed_index_leaves_nothing_and_can_be_repeated(
    matrix: Path, matrix_model: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.gannet"
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "add", lambda *_, **__: (_ for _ in ()).throw(GannetError("the disk is full")))
        assert run("index", matrix, "-m", matrix_model, "-o", output).status == 2
    assert not list(tmp_path.glob("*out.gannet*"))
    assert run("index", matrix, "-m", matrix_model, "-o", output).status == 0


def test_a_page_never_replaces_anything_else(image_collection: Path, tmp_path: Path, run) -> None:
    kept = image_collection.read_bytes()
    result = run("search", image_collection, "0", "--html", image_collection)
    assert result.status == 2 and "is not a page" in result.err
    assert image_collection.read_bytes() == kept
    for _ in range(2):
        assert run("search", image_collection, "0", "--html", tmp_path / "page.html").status == 0


@pytest.mark.parametrize(
    ("method", "settings"),
    [("cibhash", ["n_views=2", "n_steps=3", "hidden=8"]), ("hashgan", ["width=2", "n_epochs=1"])],
)
def test_methods_that_learn_from_images(
    tmp_path: Path, photos: Path, matrix: Path, tiny, run, method: str, settings: list[str]
) -> None:
    model, collection = tmp_path / "m", tmp_path / "c"
    options = [word for setting in settings for word in ("--set", setting)]
    result = run("fit", photos, "-o", model, "--method", method, "--bits", 16, *options)
    assert result.status == 0 and f"learned 16 bits from 60 items with {method}" in result.out
    assert run("index", photos, "-m", model, "-o", collection).status == 0
    assert run("add", collection, photos).out.startswith("added 0 items, left 60")
    query = tmp_path / "query.png"
    query.write_bytes((photos / "07.png").read_bytes())
    [answer] = json.loads(run("search", collection, query, "--json").out)
    assert {"path": str(photos / "07.png"), "distance": 0}.items() <= answer["results"][0].items()
    refused = run("fit", matrix, "-o", tmp_path / "other", "--method", method)
    assert refused.status == 2 and refused.err.count("\n") == 1
    assert f"{method} learns from images" in refused.err
    row = run("search", collection, f"{matrix}#3")
    assert row.status == 2 and "this collection is of images" in row.err


def test_a_method_without_network_takes_no_backbone(tmp_path: Path, photos: Path, run) -> None:
    result = run("fit", photos, "-o", tmp_path / "m", "--method", "hashgan", "--backbone", "alexnet")
    assert result.status == 2 and "leave --backbone out" in result.err


def test_methods_lists_the_data_that_each_takes(run) -> None:
    takes = {row["name"]: row["takes"] for row in json.loads(run("methods", "--json").out)}
    assert takes["cibhash"] == "views" and takes["hashgan"] == "pixels"
    assert takes["itq"] == takes["uhga"] == "features"
    text = run("methods").out
    assert text.count("learns from images: ") == sum(kind != "features" for kind in takes.values())
