"""Many queries at once: they are encoded together, and what cannot be answered is named in its place."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gannet.backbones.extractor import FeatureExtractor
from gannet.collection import Collection
from gannet.errors import GannetError
from gannet.retrieval.contents import MAX_COMPARED, mark_items
from gannet.retrieval.query import search as search_collection
from gannet.support import progress

CHANGED = "changed since it was indexed"


def search(run, collection, *arguments) -> list:
    result = run("search", collection, *arguments, "--json")
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)


@pytest.fixture
def others(tmp_path: Path, save_image) -> Path:
    """A folder of 20 pictures that the collection does not hold."""
    folder = tmp_path / "others"
    folder.mkdir()
    for i in range(20):
        save_image(folder / f"{i:02}.png", 500 + i)
    return folder


def test_new_pictures_are_encoded_in_batches(
    image_collection: Path, others: Path, run, encoded: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    stream = FeatureExtractor.stream
    monkeypatch.setattr(FeatureExtractor, "stream", lambda self, items: (calls.append(1), stream(self, items))[1])
    files = sorted(others.iterdir())
    together = search(run, image_collection, *files, "-k", 3)
    assert len(encoded) == 20 and len(calls) == 1
    assert [answer["query"] for answer in together] == list(map(str, files))
    for answer in together[:3]:
        assert search(run, image_collection, answer["query"], "-k", 3) == [answer]


def test_unreadable_queries_are_named_in_their_places(
    image_collection: Path, others: Path, tmp_path: Path, run, save_image
) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    good, bad, missing = others / "00.png", tmp_path / "bad.jpg", tmp_path / "missing.jpg"
    queries = ["3", bad, good, missing, "1000", "", "9" * 30]
    answers = search(run, image_collection, *queries, "-k", 2)
    assert [answer["query"] for answer in answers] == list(map(str, queries))
    assert [len(answer["results"]) for answer in answers] == [2, 0, 2, 0, 0, 0, 0]
    assert ["error" in answer for answer in answers] == [False, True, False, True, True, True, True]
    assert "not an image" in answers[1]["error"] and "missing.jpg" in answers[3]["error"]
    assert "has no item 1000" in answers[4]["error"]
    page = tmp_path / "page.html"
    result = run("search", image_collection, *queries, "-k", 2, "--html", page)
    assert (result.status, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[3].startswith(f"{bad}: not answered: ") and "not an image" in lines[3]
    assert result.out.count("not answered") == page.read_text().count("Not answered") == 5
    with Collection.open(image_collection) as collection:
        assert search_collection(collection, list(map(str, queries)), k=2) == answers
        with pytest.raises(GannetError, match=r"not an image.*1 more quer"):
            search_collection(collection, [str(bad), str(missing)])


def test_status_2_only_if_nothing_was_answered(image_collection: Path, tmp_path: Path, run) -> None:
    result = run("search", image_collection, "1000", tmp_path / "missing.jpg", "--json")
    assert result.status == 2 and result.err.count("\n") == 1 and "has no item 1000" in result.err
    assert [set(answer) for answer in json.loads(result.out)] == [{"query", "error", "results"}] * 2


def test_a_folder_or_archive_answers_for_every_picture(
    image_collection: Path, others: Path, tmp_path: Path, run
) -> None:
    (others / "broken.png").write_bytes((others / "00.png").read_bytes()[:60])
    answers = search(run, image_collection, others, "-k", 4)
    assert [answer["query"] for answer in answers] == [str(path) for path in sorted(others.iterdir())]
    assert [answer["query"] for answer in answers if "error" in answer] == [str(others / "broken.png")]
    (others / "broken.png").unlink()
    with zipfile.ZipFile(tmp_path / "others.zip", "w") as archive:
        for path in sorted(others.iterdir()):
            archive.write(path, path.name)
    zipped = search(run, image_collection, tmp_path / "others.zip", "-k", 4)
    assert [answer["query"] for answer in zipped] == [f"{tmp_path}/others.zip!{i:02}.png" for i in range(20)]
    assert [answer["results"] for answer in zipped] == [answer["results"] for answer in answers if answer["results"]]
    mixed = search(run, image_collection, "3", others, "4", "-k", 4)
    assert mixed[1:-1] == answers[:-1] and len(mixed) == 22


def test_a_matrix_answers_for_every_row(matrix_collection: Path, vectors, tmp_path: Path, run) -> None:
    queries = np.random.default_rng(1).standard_normal((30, 20))
    queries[7, 3] = np.nan
    np.save(tmp_path / "queries.npy", queries)
    answers = search(run, matrix_collection, tmp_path / "queries.npy", "-k", 5)
    assert [answer["query"] for answer in answers] == [f"{tmp_path}/queries.npy#{i}" for i in range(30)]
    assert [i for i, answer in enumerate(answers) if "error" in answer] == [7] and "NaN" in answers[7]["error"]
    assert search(run, matrix_collection, f"{tmp_path}/queries.npy#8", "-k", 5) == [answers[8]]
    np.save(tmp_path / "wide.npy", np.ones((3, 21)))
    wide = run("search", matrix_collection, tmp_path / "wide.npy")
    assert wide.status == 2 and "(n, 20)" in wide.err and wide.err.count("\n") == 1
    two = search(run, matrix_collection, f"{tmp_path}/wide.npy#0", f"{tmp_path}/queries.npy#8", "-k", 5)
    assert "(n, 20)" in two[0]["error"] and two[1] == answers[8]


def test_reranked_answers_are_those_of_single_queries(
    photos: Path, others: Path, image_model: Path, tmp_path: Path, run
) -> None:
    kept = tmp_path / "kept.gannet"
    assert run("index", photos, "-m", image_model, "-o", kept, "--keep-features").status == 0
    queries = ["3", photos / "04.png", others / "05.png", tmp_path / "missing.jpg"]
    answers = search(run, kept, *queries, "--rerank", 30)
    assert [len(answer["results"]) for answer in answers] == [10, 10, 10, 0]
    for query, answer in zip(queries[:3], answers, strict=False):
        assert search(run, kept, query, "--rerank", 30) == [answer]


# Files that have changed ----------------------------------------------------------------------------


@pytest.fixture
def replaced(photos: Path, image_collection: Path, save_image) -> Path:
    """The picture of item 5, whose file has another content by now."""
    return save_image(photos / "05.png", 900)


def test_one_file_has_one_answer(
    replaced: Path, image_collection: Path, tmp_path: Path, run, save_image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(replaced.parent.parent)
    copy = save_image(tmp_path / "copy.png", 900)
    (tmp_path / "link.png").symlink_to(replaced)
    ways = [str(replaced), "photos/05.png", "./photos/../photos/05.png", str(copy), str(tmp_path / "link.png")]
    answers = search(run, image_collection, *ways, "-k", 60)
    assert all(answer["results"] == answers[0]["results"] for answer in answers)
    assert [answer.get("changed", False) for answer in answers] == [True, True, True, False, False]
    (old,) = search(run, image_collection, "5", "-k", 1)
    assert old["changed"] is True and old["results"][0]["changed"] is True and old["results"][0]["distance"] == 0
    marked = {item["id"] for item in answers[0]["results"] if "changed" in item}
    assert marked == {5}


def test_a_change_is_said_in_lists_and_pages(replaced: Path, image_collection: Path, tmp_path: Path, run) -> None:
    page = tmp_path / "page.html"
    result = run("search", image_collection, "5", replaced, "-k", 60, "--html", page)
    assert result.out.count(f"({CHANGED})") == 4
    assert f"5 ({CHANGED})" in result.out.splitlines() and f"{replaced} ({CHANGED})" in result.out.splitlines()
    html = page.read_text()
    assert html.count(f'<span class="changed">{CHANGED}</span>') == 4
    # The new picture is shown only as the query that it is.
    assert html.count("05.png, no picture") == 2 and html.count('alt="05.png"') == 1


def test_a_file_that_is_gone_answers_from_its_code(photos: Path, image_collection: Path, run, monkeypatch) -> None:
    before = search(run, image_collection, "5", "-k", 9)[0]["results"]
    (photos / "05.png").unlink()
    monkeypatch.chdir(photos)
    for name in (photos / "05.png", "05.png", "./05.png"):
        (answer,) = search(run, image_collection, name, "-k", 9)
        assert answer == {"query": str(name), "results": before}


def test_a_file_of_junk_in_the_place_of_an_item(photos: Path, image_collection: Path, run, monkeypatch) -> None:
    (photos / "05.png").write_text("junk")
    monkeypatch.chdir(photos)
    for name in (photos / "05.png", "05.png"):
        result = run("search", image_collection, name)
        assert result.status == 2 and "not an image" in result.err


def test_rows_that_have_changed(matrix: Path, matrix_collection: Path, vectors, run, monkeypatch) -> None:
    monkeypatch.chdir(matrix.parent)
    vectors[3] = -vectors[3]
    np.save(matrix, vectors)
    by_path = search(run, matrix_collection, f"{matrix}#3", "vectors.npy#3", f"{matrix}#4")
    assert by_path[0]["results"] == by_path[1]["results"] and by_path[0]["results"][0]["distance"] > 0
    assert ["changed" in answer for answer in by_path] == [True, True, False]
    matrix.unlink()
    (gone,) = search(run, matrix_collection, f"{matrix}#3", "-k", 1)
    assert gone["results"][0] == {"id": 3, "path": f"{matrix}#3", "distance": 0}


def test_near_duplicates_that_have_changed(
    photos: Path, image_model: Path, tmp_path: Path, run, save_image, encoded
) -> None:
    collection, page = tmp_path / "c", tmp_path / "page.html"
    (photos / "copy.png").write_bytes((photos / "05.png").read_bytes())
    assert run("index", photos, "-m", image_model, "-o", collection).status == 0
    save_image(photos / "copy.png", 900)
    groups = json.loads(run("duplicates", collection, "--json").out)
    marked = [item["path"] for group in groups for item in group if item.get("changed")]
    assert marked == [str(photos / "copy.png")]
    result = run("duplicates", collection, "--html", page)
    assert result.out.count(f"copy.png ({CHANGED})") == 1
    assert page.read_text().count(f'<span class="changed">{CHANGED}</span>') == 1
    assert page.read_text().count("copy.png, no picture") == 1


def test_items_beyond_the_limit_are_counted(image_collection: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gannet.retrieval.contents.MAX_COMPARED", 10)
    result = run("search", image_collection, "3", "-k", 60)
    assert result.status == 0 and "50 more items were not compared with their files" in result.err
    assert MAX_COMPARED == 10_000


@settings(max_examples=30, deadline=None)
@given(changed=st.sets(st.integers(0, 9)), gone=st.sets(st.integers(0, 9)))
def test_exactly_the_changed_files_are_marked(tmp_path_factory, changed: set[int], gone: set[int]) -> None:
    from gannet.data import digest
    from tiny_model import tiny_model

    folder = tmp_path_factory.mktemp("files")
    paths = [str(folder / f"{i}.png") for i in range(10)]
    for i, path in enumerate(paths):
        Path(path).write_bytes(b"content %d" % i)
    with Collection.create(folder / "c", tiny_model(8)) as collection:
        collection.add(np.zeros((10, 1), np.uint8), paths, [digest(Path(path).read_bytes()) for path in paths])
        for i in changed:
            Path(paths[i]).write_bytes(b"another")
        for i in gone:
            Path(paths[i]).unlink()
        items = [{"id": i, "path": path} for i, path in enumerate(paths)]
        assert mark_items(collection, items * 2) == 0
    assert {item["id"] for item in items if item.get("changed")} == changed - gone


def test_a_picture_saved_in_another_format_is_encoded(photos: Path, image_collection: Path, tmp_path, run, encoded):
    before = len(encoded)
    Image.open(photos / "11.png").save(tmp_path / "copy.bmp")
    (tmp_path / "same.png").write_bytes((photos / "11.png").read_bytes())
    search(run, image_collection, tmp_path / "same.png", photos / "11.png", "11")
    assert len(encoded) == before
    search(run, image_collection, tmp_path / "copy.bmp")
    assert len(encoded) == before + 1


@pytest.mark.parametrize("before", [True, False])
def test_progress_of_a_command(
    photos: Path, image_model: Path, tmp_path: Path, run, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    lines = progress.progress_lines
    monkeypatch.setattr(progress, "progress_lines", lambda: lines(0))
    index = ["index", photos, "-m", image_model, "-o", tmp_path / "c"]
    result = run("--progress", *index) if before else run(*index, "--progress")
    assert result.status == 0 and "encoding: " in result.err and "60.0/60.0" in result.err
    assert run("search", tmp_path / "c", photos / "00.png").err == ""


def test_queries_are_read_with_the_options_of_a_source(tmp_path: Path, run) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    values = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
    columns = {f"f{i}": values[:, i] for i in range(8)}
    pq.write_table(pa.table({**columns, "label": np.arange(30), "title": [f"t{i}" for i in range(30)]}), tmp_path / "m")
    matrix = (tmp_path / "m").rename(tmp_path / "m.parquet")
    model, collection = tmp_path / "v.model", tmp_path / "v.gannet"
    chosen = ("--features", "f*", "--names", "title")
    assert run("fit", matrix, "-o", model, "--method", "itq", "--bits", 8, *chosen).status == 0
    assert run("index", matrix, "-m", model, "-o", collection, *chosen).status == 0
    refused = run("search", collection, f"{matrix}#17")
    assert refused.status == 2 and "--features 'f*'" in refused.err
    (row,) = json.loads(run("search", collection, f"{matrix}#17", "--json", "--features", "f*").out)
    assert "t17" in [item["path"] for item in row["results"] if item["distance"] == 0]
    every = json.loads(run("search", collection, matrix, "--json", *chosen).out)
    assert [answer["query"] for answer in every] == [f"t{i}" for i in range(30)]
    assert every[17]["results"] == row["results"]


def test_a_picture_that_is_cut_off_is_a_query_only_on_request(
    image_collection: Path, others: Path, run, save_image
) -> None:
    whole = (others / "00.png").read_bytes()
    cut = others / "cut.png"
    cut.write_bytes(whole[: len(whole) // 2])
    assert run("search", image_collection, cut, "--truncated").status == 0
    refused = run("search", image_collection, cut)  # its features are in the cache now
    assert refused.status == 2 and "truncated" in refused.err
    (answer,) = json.loads(run("search", image_collection, others, "--json", "--exclude", "[01]*", "--truncated").out)
    assert answer["query"] == str(cut)


def test_a_folder_of_queries_says_what_it_leaves_out(
    image_collection: Path, others: Path, run, caplog: pytest.LogCaptureFixture
) -> None:
    (others / "film.mov").write_bytes(b"x")
    (others / ".hidden.png").write_bytes(b"x")
    assert run("search", image_collection, others).status == 0
    assert "1 .mov" in caplog.text and "left out by pattern: 1 .*" in caplog.text
