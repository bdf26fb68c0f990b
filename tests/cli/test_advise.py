"""``gannet advise`` measures codes on a sample and recommends a command that works."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gannet import ITQ, GannetError
from gannet.cli import make_group
from gannet.evaluation.held_out import HeldOut
from gannet.hashers.goals import GOALS
from gannet.image_hasher import ImageHasher


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(900, 8)) @ rng.normal(size=(8, 80)) + 0.1 * rng.normal(size=(900, 80))
    np.save(tmp_path / "rows of mine.npy", values.astype(np.float32))
    return tmp_path / "rows of mine.npy"


def run(*arguments: str) -> str:
    result = CliRunner().invoke(make_group(), list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_rows_hold_the_recall_of_the_items_held_out(matrix: Path) -> None:
    advice = json.loads(run("advise", str(matrix), "--items", "2M", "--json"))
    training = ImageHasher(ITQ(32, random_state=0)).read_training(str(matrix), "all")
    assert training.held_out is not None
    held_out = HeldOut.of(training.held_out.values, training.features.values, k=1)
    itq = ITQ(32, random_state=0).fit(held_out.database)
    codes = itq.transform(held_out.queries), itq.transform(held_out.database)
    rows = {(row["method"], row["n_bits"], row["order"]): row for row in advice["rows"]}
    expected = held_out.recall(*codes, 32, [1, 10, 100])
    assert rows["itq", 32, "hamming"]["recall"] == {str(depth): value for depth, value in expected.items()}
    assert rows["itq", 32, "rerank"]["bytes_per_item"] == 4 + 2 * 80
    assert rows["signs", 80, "score"]["bytes_per_item"] == 10 and advice["n_items"] == 2_000_000
    assert {"float cosine", "centered signs", GOALS["nearest"].matrix} <= {row["method"] for row in advice["rows"]}
    assert any(text.startswith("itq with 512 bits") for text in advice["left_out"])
    assert any(text.startswith("uhga-views") for text in advice["left_out"])


def test_the_recommended_command_works(matrix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(matrix.parent)
    command = next(line for line in run("advise", matrix.name).splitlines() if line.startswith("gannet fit"))
    run(*shlex.split(command)[1:])
    assert Path("codes.model").exists()


def test_bad_input_is_one_clear_line(tmp_path: Path, matrix: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((3, 4), np.float32))
    for arguments, message in (
        ([str(matrix), "--items", "10X"], "--items must be a whole number"),
        ([str(matrix), "--goal", "nearst"], "nearest"),
        ([str(matrix), "--goal", "kind"], "gannet bench"),
        ([str(tmp_path / "few.npy")], "too few items"),
    ):
        with pytest.raises(GannetError, match=message):
            CliRunner().invoke(make_group(), ["advise", *arguments], catch_exceptions=False)
