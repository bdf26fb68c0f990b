"""``gannet advise`` measures codes on a sample and recommends a command that works."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from gannet import ITQ, FeatureReader, GannetError
from gannet.cli import make_group
from gannet.cli.suggested import suggested_command
from gannet.data import open_source
from gannet.evaluation.advice import Candidate, Recommendation, read_labels, read_sampled
from gannet.evaluation.advice import advise as measure
from gannet.evaluation.advice.recommendation import recommend
from gannet.scoring import asymmetric_scores

HAS_FAISS = importlib.util.find_spec("faiss") is not None
OF_FAISS = {"faiss PQ", "faiss OPQ", "faiss RaBitQ"}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(600, 6)) @ rng.normal(size=(6, 40)) + 0.1 * rng.normal(size=(600, 40))
    folder = tmp_path_factory.mktemp("advise")
    np.save(folder / "rows of mine.npy", values.astype(np.float32))
    classes = np.where(values[:, 0] > 0, "left", "right")
    (folder / "classes.txt").write_text("\n".join(classes) + "\n")
    return folder / "rows of mine.npy"


@pytest.fixture(scope="module")
def advice(matrix: Path) -> dict:
    arguments = "--items", "2G", "--labels", str(matrix.parent / "classes.txt")
    page = matrix.parent / "advice.html"
    found = json.loads(run("advise", str(matrix), *arguments, "--json", "--html", str(page)))
    return found | {"page": page.read_text()}


def run(*arguments: str) -> str:
    result = CliRunner().invoke(make_group(), list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_recall_map_and_bytes_of_every_order(matrix: Path, advice: dict) -> None:
    source = open_source(matrix)
    sampled = read_sampled(source, read_labels(source, str(matrix.parent / "classes.txt")))
    database, queries = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (sampled.database, sampled.queries)
    )
    nearest = np.argsort(-(queries @ database.T), axis=1)[:, :10]
    itq = ITQ(32, random_state=0).fit(sampled.database)
    codes, asked = itq.transform(sampled.database), itq.transform(sampled.queries)
    distances = np.bitwise_count(codes[None] ^ asked[:, None]).sum(axis=2)
    weights = itq.encoder_.bit_weights(sampled.queries)
    rankings = {
        "hamming": np.argsort(distances, axis=1, kind="stable"),
        "asymmetric": np.stack([np.argsort(-asymmetric_scores(each, codes), kind="stable") for each in weights]),
    }
    rankings["rerank"] = np.stack(
        [
            [*first[np.argsort(-(database[first] @ query))], *row[200:]]
            for query, row in zip(queries, rankings["asymmetric"], strict=True)
            for first in [row[:200]]
        ]
    )
    measured = {each["order"]: each for each in advice["candidates"] if (each["method"], each["bits"]) == ("itq", 32)}
    assert measured.keys() == rankings.keys()
    for order, ranking in rankings.items():
        ranks = np.argmax(ranking == nearest[:, :1], axis=1)
        for depth in (1, 10, 100):
            assert measured[order][f"recall_at_{depth}"] == pytest.approx((ranks < depth).mean(), abs=0.03)
        ten = np.mean([np.isin(near, row[:100]).mean() for near, row in zip(nearest, ranking, strict=True)])
        assert measured[order]["recall_at_10_in_100"] == pytest.approx(ten, abs=0.01)
        hits = sampled.database_labels[ranking] == sampled.query_labels[:, None]
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        assert measured[order]["map"] == pytest.approx(
            ((precision * hits).sum(axis=1) / hits.sum(axis=1)).mean(), abs=0.01
        )
        assert measured[order]["bytes_per_item"] == 4 + (80 if order == "rerank" else 0)
        assert measured[order]["search_seconds"] > 0
    assert measured["hamming"]["search_seconds"] < measured["asymmetric"]["search_seconds"]
    assert measured["asymmetric"]["search_seconds"] < measured["rerank"]["search_seconds"]


def test_alternatives_stand_beside_the_methods_and_what_is_missing_is_named(advice: dict) -> None:
    by_method = {each["method"] for each in advice["candidates"]}
    sizes = {(each["method"], each["code_bytes"]) for each in advice["candidates"]}
    left_out = "\n".join(advice["left_out"])
    assert {"itq-refined", "itq", "signs", "centered signs", "floats"} == by_method - OF_FAISS
    if HAS_FAISS:
        assert by_method >= OF_FAISS and "faiss PQ with 16 bytes: it divides" in left_out
        assert {("faiss OPQ", 8), ("faiss PQ", 4), ("faiss RaBitQ", 13)} <= sizes
    else:
        assert "faiss PQ, OPQ and RaBitQ" in left_out and "pip install" in left_out
    assert ("signs", 5) in sizes
    assert "itq with 512 bits: itq makes at most one bit per feature" in left_out and "uhga-views" in left_out
    (floats,) = (each for each in advice["candidates"] if each["order"] == "cosine")
    assert floats["recall_at_100"] == 1 and floats["bytes_per_item"] == 160 and 0.5 < floats["map"] < 1
    assert any("only 546 items" in text for text in advice["warnings"])


def test_the_page_holds_the_command_the_charts_and_every_candidate(advice: dict) -> None:
    page = advice["page"]
    assert page.lower().startswith("<!doctype html>") and "://" not in page
    assert page.count('class="plot"') == 3
    assert page.count("<tr><th") == len(advice["candidates"]) + 1
    assert advice["recommendation"]["reason"].replace("'", "&#39;") in page
    for text in advice["left_out"]:
        assert text.split(":")[0] in page


def test_the_recommended_command_works(advice: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = advice["recommendation"]["command"]
    assert command.startswith("gannet fit ") and advice["recommendation"]["method"] == "itq-refined"
    run(*shlex.split(command)[1:])
    assert Path("codes.model").exists()


def test_the_command_for_floats_searches_them_by_cosine(matrix: Path) -> None:
    chosen = Recommendation("floats", None, "cosine", 160, "")
    words = shlex.split(suggested_command(chosen, str(matrix), {"skip_nan": True, "names": None}, 40))
    done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, check=True)
    rows = np.load(matrix)
    nearest = np.argsort(-(rows @ rows[0]) / np.linalg.norm(rows, axis=1))[:11]
    assert [int(row) for row in re.findall(r"\d+", done.stdout.split("array([[")[2])[:11]] == nearest.tolist()


def candidate(method: str, bits: int | None, order: str, size: int, recall: float, label_map: float | None = None):
    kept = 200 if order == "rerank" else 0
    return Candidate(method, bits, order, size, size + kept, recall, recall, recall, recall, label_map, 1.0, 1e-6, 10.0)


FLOATS = candidate("floats", None, "cosine", 400, 1.0, 0.5)


@pytest.mark.parametrize(
    ("goal", "candidates", "expected"),
    [
        (  # the shortest of Gannet's codes that finds enough, though faiss has a slightly better one of equal size
            "nearest",
            [
                candidate("itq-refined", 64, "asymmetric", 8, 0.9),
                candidate("itq-refined", 128, "asymmetric", 16, 0.96),
                candidate("itq-refined", 256, "asymmetric", 32, 0.99),
                candidate("faiss OPQ", 128, "estimate", 16, 0.97),
            ],
            ("itq-refined", 128, "asymmetric"),
        ),
        (
            "nearest",
            [
                candidate("itq-refined", 256, "asymmetric", 32, 0.96),
                candidate("faiss OPQ", 64, "estimate", 8, 0.97),
            ],
            ("faiss OPQ", 64, "estimate"),
        ),
        (
            "nearest",
            [
                candidate("itq-refined", 512, "asymmetric", 64, 0.5),
                candidate("itq-refined", 512, "rerank", 64, 0.8),
                candidate("faiss RaBitQ", 768, "rerank", 104, 0.95),
            ],
            ("faiss RaBitQ", 768, "rerank"),
        ),
        (
            "kind",
            [
                candidate("uhga-graph", 32, "hamming", 4, 0.2, 0.55),
                candidate("uhga-graph", 64, "hamming", 8, 0.3, 0.60),
                candidate("uhga-graph", 64, "asymmetric", 8, 0.3, 0.605),
                candidate("uhga-graph", 128, "hamming", 16, 0.3, 0.606),
            ],
            ("uhga-graph", 64, "asymmetric"),
        ),
    ],
)
def test_recommendations(goal: str, candidates: list[Candidate], expected: tuple[str, int, str]) -> None:
    chosen = recommend([FLOATS, *candidates], goal, 10**10, of_images=False)
    assert (chosen.method, chosen.bits, chosen.order) == expected
    assert len([part for part in chosen.reason.split(". ") if part]) == 2


@pytest.mark.parametrize(
    ("chosen", "factory"),
    [
        (Recommendation("faiss OPQ", 64, "estimate", 8, ""), "OPQ8_40,PQ8"),
        (Recommendation("faiss PQ", 64, "rerank", 8, ""), "PQ8,Refine(SQfp16)"),
        (Recommendation("faiss RaBitQ", 32, "rerank", 12, ""), "PCA32,RaBitQ,Refine(SQfp16)"),
    ],
)
def test_commands_for_faiss_make_an_index(matrix: Path, tmp_path: Path, chosen: Recommendation, factory: str) -> None:
    command = suggested_command(chosen, str(matrix), {"skip_nan": True, "features": ()}, 40)
    assert factory in command and "skip_nan=True" in command
    if not HAS_FAISS:
        return
    import faiss

    assert faiss.index_factory(40, factory).d == 40
    if chosen.method == "faiss RaBitQ":  # the others learn for longer
        words = shlex.split(command)
        subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, capture_output=True)
        assert faiss.read_index(str(tmp_path / "codes.faiss")).ntotal == 600


def test_reranking_is_recommended_with_the_floats_kept(
    matrix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = suggested_command(Recommendation("itq", 32, "rerank", 4, ""), str(matrix), {"skip_nan": True}, 40)
    for part in command.split(" && "):
        run(*shlex.split(part)[1:])
    run("search", "codes.gannet", f"{matrix}#3", "--asymmetric", "--rerank", "200")


def test_images_are_for_the_goal_kind_and_class_folders_are_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, color in (("red", (200, 30, 30)), ("blue", (30, 30, 200))):
        (tmp_path / name).mkdir()
        for i in range(60):
            pixels = np.clip(rng.normal(color, 40, size=(8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    (tmp_path / "red" / "broken.png").write_bytes(b"\x89PNG")
    source = open_source(tmp_path)
    sampled = read_sampled(source, read_labels(source, "source"), reader=FeatureReader(mean_color))
    assert [Path(item.path).name for item in sampled.skipped] == ["broken.png"]
    # Without time, only what needs no learning is measured, and the choice is that of `gannet fit`.
    advice = measure(sampled, None, 10**10, seconds=0)
    assert advice.goal == "kind" and (len(sampled.queries), len(sampled.database)) == (10, 110)
    assert {each.method for each in advice.candidates} == {"floats", "signs", "centered signs"}
    assert max(each.map for each in advice.candidates) == pytest.approx(1)
    assert any(text.startswith("uhga-views: it learns from several views") for text in advice.left_out)
    assert "uhga-graph with 3 bits, 64 bits, 128 bits, 32 bits, 256 bits, 512 bits: no time left" in advice.left_out
    assert (advice.recommendation.method, advice.recommendation.bits) == ("uhga-views", 64)
    assert any("only 10 items are held out" in text for text in advice.warnings)


def mean_color(images: list[Image.Image]) -> np.ndarray:
    return np.array([np.asarray(image).mean(axis=(0, 1)) - 100 for image in images])


def test_lines_for_people(tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.random.default_rng(0).normal(size=(150, 6)))
    said = run("advise", str(tmp_path / "small.npy")).splitlines()
    assert said[0].split()[:8] == ["method", "bits", "order", "bytes", "@1", "@10", "@100", "10@100"]
    (floats,) = (line.split() for line in said if line.startswith("floats"))
    assert floats[1:8] == ["-", "cosine", "24", "1.00", "1.00", "1.00", "1.00"]
    assert any(line.split()[:4] == ["itq-refined", "6", "asymmetric", "1"] for line in said)
    assert said[-2].startswith("python -c ") and said[-1].startswith("The floats of 150 items take only")


def test_without_labels_the_kind_is_not_judged_by_recall() -> None:
    codes = [candidate("uhga-graph", bits, "hamming", bits // 8, bits / 1000) for bits in (32, 64, 512)]
    floats = candidate("floats", None, "cosine", 400, 1.0)
    chosen = recommend([floats, *codes], "kind", 10**10, of_images=True)
    assert (chosen.method, chosen.bits) == ("uhga-views", 64) and "--labels" in chosen.reason


def test_bad_input_is_one_clear_line(tmp_path: Path, matrix: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((3, 4), np.float32))
    values = np.load(matrix).copy()
    values[17, 3] = np.nan
    np.save(tmp_path / "hole.npy", values)
    (tmp_path / "short.txt").write_text("a\nb\n")
    (tmp_path / "gap.txt").write_text("a\n\n" + "b\n" * 598)
    for arguments, message in (
        ([str(matrix), "--items", "10X"], "--items must be a whole number"),
        ([str(matrix), "--goal", "nearst"], "nearest"),
        ([str(tmp_path / "few.npy")], "too few items"),
        ([str(tmp_path / "hole.npy")], r"hole.npy#17 holds NaN|row 17"),
        ([str(matrix), "--labels", "source"], "has no labels of its own"),
        ([str(matrix), "--labels", "labels.txt"], "no file"),
        ([str(matrix), "--labels", str(tmp_path / "short.txt")], "600 items"),
        ([str(matrix), "--labels", str(tmp_path / "gap.txt")], "line 2 of .* is empty"),
        ([str(matrix), "--html", str(matrix)], "not a page"),
    ):
        with pytest.raises(GannetError, match=message):
            CliRunner().invoke(make_group(), ["advise", *arguments], catch_exceptions=False)
