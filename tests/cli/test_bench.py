"""``gannet bench``, ``score`` and ``protocols``, with pixels as features instead of a network's."""

import json
import sys

import numpy as np
import pytest
from PIL import Image

from gannet.cli import main
from gannet.data import decode
from gannet.feature_reader import FeatureReader, Features
from gannet.hashers.takes import FEATURES


@pytest.fixture(autouse=True)
def pixels(monkeypatch):
    """Read 8 x 8 gray pixels as features, so that the tests need no network."""

    def read(self, source, takes=FEATURES):
        values = [decode(source.read(i), 8).mean(axis=2).ravel() for i in range(len(source))]
        return Features(np.array(values, np.float32), source.paths, (), list(source.skipped))

    monkeypatch.setattr(FeatureReader, "read", read)


@pytest.fixture
def gannet(monkeypatch, capsys):
    def run(*arguments, status=0):
        monkeypatch.setattr(sys, "argv", ["gannet", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        captured = capsys.readouterr()
        assert (stop.value.code or 0) == status, captured.err
        if status == 2:
            assert captured.err.splitlines()[-1].startswith("gannet: ")
            assert "Traceback" not in captured.err
        return captured

    return run


QUICK = ("bench", "digits", "--bits", "16")


def test_json_has_the_promised_fields(gannet):
    rows = json.loads(gannet(*QUICK, "--methods", "itq,lsh", "--seeds", 2, "--json").out)
    assert [(row["method"], row["seed"]) for row in rows] == [("itq", 0), ("itq", 1), ("lsh", 0), ("lsh", 1)]
    for row in rows:
        assert row["bits"] == 16
        assert row["map_at"] is None
        assert 0.1 < row["map_worst"] <= row["map"] <= row["map_best"] <= 1
        assert row["fit_seconds"] >= 0
        assert row["protocol"] == "digits"
        assert {"split", "backbone", "precision_at", "float_map"} <= row.keys()


def test_a_line_a_cell_a_table_and_a_folder_that_goes_on(gannet, tmp_path):
    out = gannet(*QUICK, "--methods", "itq", "-o", tmp_path / "r").out
    assert "MAP@ALL" in out
    assert "float cosine" in out
    more = gannet(*QUICK, "--methods", "itq,lsh", "-o", tmp_path / "r").out
    assert more.count("(as before)") == 1
    lines = (tmp_path / "r" / "results.jsonl").read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["itq", "lsh"]
    table = (tmp_path / "r" / "table.md").read_text()
    assert "gannet bench digits --methods itq,lsh --bits 16 --seeds 1" in table
    assert "| lsh " in table


def test_training_methods_take_settings(gannet):
    pytest.importorskip("torch")
    quick = ("--methods", "itq,uhga", "--set", "n_steps=5", "--json")
    rows = json.loads(gannet(*QUICK, *quick).out)
    assert "n_steps" not in rows[0]["settings"]
    assert rows[1]["settings"]["n_steps"] == 5


def test_a_sweep_has_a_row_a_value_and_its_page(gannet, tmp_path):
    pytest.importorskip("torch")
    sweep = (*QUICK, "--set", "n_steps=2", "--sweep", "similarity_threshold=0:0.2:0.1", "-o", tmp_path / "r")
    out = gannet(*sweep).out
    assert "uhga n_steps=2 by similarity_threshold" in out
    assert "report.html" in out.splitlines()[-1]
    assert gannet(*sweep).out.count("(as before)") == 4
    lines = [json.loads(line) for line in (tmp_path / "r" / "results.jsonl").read_text().splitlines()]
    assert [line["settings"].get("similarity_threshold") for line in lines] == [None, 0.0, 0.1, 0.2]
    for name in ("table.md", "report.html"):
        text = (tmp_path / "r" / name).read_text()
        assert "uhga n_steps=2 by similarity_threshold" in text
        assert "--sweep similarity_threshold=0:0.2:0.1" in text
    left = {path.name for path in (tmp_path / "r").iterdir()} - {".lock"}
    assert left == {"report.html", "results.jsonl", "table.md"}


def test_curves_are_kept_and_drawn(gannet, tmp_path):
    pytest.importorskip("torch")
    quick = (*QUICK, "--methods", "itq,uhga-plain,uhga", "--set", "n_steps=3", "--curves")
    gannet(*quick, "-o", tmp_path / "r")
    rows = [json.loads(line) for line in (tmp_path / "r" / "results.jsonl").read_text().splitlines()]
    assert "training" not in rows[0]
    for row in rows[1:]:
        assert [step["step"] for step in row["training"]] == [1, 2, 3]
        assert {"loss", "flipped", "undone"} < row["training"][0].keys()
    assert 'id="training"' in (tmp_path / "r" / "report.html").read_text()
    assert "-o" in gannet(*quick, status=2).err


OUTSIDE_METHOD = """
import numpy as np

from gannet.encoders import Linear
from gannet.hashers.base import Hasher


class SignsOfPowers(Hasher):
    name = "signs-of-powers"
    reference = "none"

    def __init__(self, n_bits=64, power=1, random_state=None):
        self.n_bits, self.power, self.random_state = n_bits, power, random_state

    def _learn(self, features):
        weight = np.random.default_rng(self.random_state).standard_normal((features.shape[1], self.n_bits))
        weight = (np.sign(weight) * np.abs(weight) ** self.power).astype(np.float32)
        return Linear(features.mean(axis=0), weight, np.zeros(self.n_bits, np.float32))
"""


def test_a_method_of_another_distribution_runs_and_its_results_outlive_it(gannet, tmp_path, monkeypatch):
    site = tmp_path / "site"
    (site / "signs-1.0.dist-info").mkdir(parents=True)
    (site / "signs_of_powers.py").write_text(OUTSIDE_METHOD)
    (site / "signs-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: signs\nVersion: 1.0\n")
    points = "[gannet.methods]\nsigns-of-powers = signs_of_powers:SignsOfPowers\n"
    (site / "signs-1.0.dist-info" / "entry_points.txt").write_text(points)
    with monkeypatch.context() as installed:
        installed.syspath_prepend(site)
        out = gannet(*QUICK, "--methods", "itq,signs-of-powers", "--sweep", "power=1:2:1", "-o", tmp_path / "r").out
        assert "signs-of-powers by power" in out
    assert "signs-of-powers" in gannet(*QUICK, "--methods", "signs-of-powers", status=2).err
    assert gannet(*QUICK, "--methods", "itq", "-o", tmp_path / "r").out.count("(as before)") == 1
    for name in ("table.md", "report.html"):
        assert "signs-of-powers by power" in (tmp_path / "r" / name).read_text()


def write_classes(root, per_class=12):
    rng = np.random.default_rng(0)
    for c, name in enumerate(("cat", "dog")):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            noise = rng.integers(0, 90, (8, 8, 3)) + 150 * c
            Image.fromarray(noise.astype(np.uint8)).save(root / name / f"{i}.png")


def test_own_class_folders_and_own_lists(gannet, tmp_path):
    write_classes(tmp_path / "pets")
    [row] = json.loads(gannet("bench", tmp_path / "pets", "--methods", "itq", "--bits", 7, "--json").out)
    assert (row["protocol"], row["n_queries"], row["n_database"]) == ("pets", 2, 22)
    lines = [
        f"{name}/{i}.png {' '.join('10' if name == 'cat' else '01')}" for name in ("cat", "dog") for i in range(12)
    ]
    (tmp_path / "pets" / "all.txt").write_text("\n".join(lines))
    [row] = json.loads(gannet("bench", tmp_path / "pets" / "all.txt", "--methods", "itq", "--bits", 7, "--json").out)
    assert (row["protocol"], row["n_queries"]) == ("all.txt", 2)
    for name, part in (("test.txt", lines[::3]), ("database.txt", lines[1::3]), ("train.txt", lines[2::3])):
        (tmp_path / "pets" / name).write_text("\n".join(part))
    [row] = json.loads(gannet("bench", tmp_path / "pets", "--methods", "itq", "--bits", 7, "--json").out)
    assert (row["n_queries"], row["n_database"], row["n_train"]) == (8, 8, 8)
    assert row["map"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bench", "digit"), "did you mean 'digits'"),
        (("bench", "./not there"), "not there"),
        ((*QUICK, "--methods", "itqq"), "did you mean 'itq'"),
        ((*QUICK, "--methods", ""), "at least one method"),
        (("bench", "digits", "--bits", "16,x"), "whole numbers"),
        (("bench", "digits", "--bits", "0"), "at least 1 bit"),
        ((*QUICK, "--seeds", "0"), "at least 1"),
        ((*QUICK, "--set", "n_steps"), "KEY=VALUE"),
        ((*QUICK, "--set", "n_stepz=3"), "did you mean 'n_steps'"),
        ((*QUICK, "--sweep", "similarity_threshold=0:1"), "SETTING=START:STOP:STEP"),
        ((*QUICK, "--sweep", "similarity_treshold=0,1"), "did you mean 'similarity_threshold'"),
        ((*QUICK, "--backbone", "alexnett"), "did you mean 'alexnet'"),
        ((*QUICK, "--data", "x"), "leave the path out"),
        (("bench", "nuswide21-uhga", "--data", "."), "there is no database.txt"),
        (("bench", "digits", "--methods", "itq", "--bits", "65"), "1 of 1 cells have no result"),
        (("score", "nothing.npz"), "does not exist"),
    ],
)
def test_errors_are_one_line_and_status_2(gannet, arguments, message):
    assert message in gannet(*arguments, status=2).err.splitlines()[-1]


def test_a_folder_in_use_is_refused_before_the_work(gannet, tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    assert "holds other files" in gannet(*QUICK, "-o", tmp_path, status=2).err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_protocols_lists_and_prints_json(gannet):
    rows = json.loads(gannet("protocols", "--json").out)
    assert {"cifar10-uhga", "nuswide21-uhga", "fashion-mnist", "digits"} <= {row["name"] for row in rows}
    assert all(row["citation"] and row["reading"] and row["seed"] == 0 for row in rows)
    assert "MAP@5000" in gannet("protocols").out


def write_codes(path, n_bits=24):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 90), rng.integers(0, 3, 400)
    codes = (rng.integers(0, 2, (len(part), n_bits)) for part in labels)
    names = ("query_codes", "database_codes", "query_labels", "database_labels")
    np.savez(path, **dict(zip(names, (*codes, *labels), strict=True)))
    return path


def test_score_prints_figures_and_notes(gannet, tmp_path):
    path = write_codes(tmp_path / "codes.npz")
    result = json.loads(gannet("score", path, "--top", 50, "--compat", "bihalf", "--json").out)
    assert result["map_worst"] <= result["map"] <= result["map_best"]
    assert result["map_at"] == 50
    out = gannet("score", path, "--top", 50, "--compat", "bihalf").out
    assert f"MAP@50 {result['map']:.4f}" in out
    assert f"as bihalf computes it {result['compat']['bihalf']:.4f}" in out
    assert all(f"- {note}" in out for note in result["notes"])
    assert "did you mean 'bihalf'" in gannet("score", path, "--compat", "bihalff", status=2).err
    assert "at least 1" in gannet("score", path, "--top", "0", status=2).err
