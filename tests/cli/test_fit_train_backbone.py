"""``gannet fit --train-backbone``: its model, its checkpoints, and the errors of invalid options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gannet.model import Model
from gannet.training.trainer import PairwiseTrainer

SMALL = ("--bits", 8, "--set", "batch_size=8", "--set", "n_steps=4", "--set", "warm_up=3")


def trains_network(inputs: torch.Tensor) -> bool:
    """Return whether a step is one of the whole network, on images; the warm-up takes steps on features before."""
    return inputs.ndim == 4


def test_a_trained_network_is_searched_like_any_other(tmp_path: Path, photos: Path, tiny, run) -> None:
    model, collection = tmp_path / "m", tmp_path / "c"
    result = run("fit", photos, "-o", model, "--train-backbone", *SMALL)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("learned 8 bits from 60 items with uhga") and result.out.count("\n") == 2
    assert run("index", photos, "-m", model, "-o", collection).status == 0
    found = run("search", collection, photos / "07.png", "-k", 1, "--json")
    assert found.status == 0 and '"distance": 0' in found.out
    frozen = run("fit", photos, "-o", tmp_path / "f", "--bits", 8, "--set", "n_steps=4")
    assert frozen.status == 0
    weights, published = Model.load(model).weights, Model.load(tmp_path / "f").weights
    assert not np.array_equal(weights["0.weight"], published["0.weight"])


def test_an_interrupted_run_says_how_to_continue(tmp_path: Path, photos: Path, tiny, run, monkeypatch) -> None:
    command = ("fit", photos, "-o", tmp_path / "m", "--train-backbone", *SMALL, "--set", "checkpoint_every=2")
    assert run(*command).status == 0
    whole = (tmp_path / "m").read_bytes()
    (tmp_path / "m").unlink()
    real = PairwiseTrainer.step

    def interrupted(self: PairwiseTrainer, inputs: torch.Tensor, similarity: torch.Tensor) -> torch.Tensor:
        if self.step_count == 3 and trains_network(inputs):
            raise KeyboardInterrupt
        return real(self, inputs, similarity)

    with monkeypatch.context() as patch:
        patch.setattr(PairwiseTrainer, "step", interrupted)
        result = run(*command)
        assert result.status == 130 and "after step 3 of 4; nothing is kept without a folder" in result.err
        result = run(*command, "--checkpoint", tmp_path / "run")
        assert result.status == 130 and "run the same command again to go on" in result.err
        assert str(tmp_path / "run") in result.err and result.err.strip().count("\n") == 0
    assert not (tmp_path / "m").exists()
    assert run(*command, "--checkpoint", tmp_path / "run").status == 0
    assert (tmp_path / "m").read_bytes() == whole
    other = run(*command, "--checkpoint", tmp_path / "run", "--seed", 1)
    assert other.status == 2 and "another random_state (0 then, 1 now)" in other.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--train-backbone", "--method", "itq"), "itq does not train the image network"),
        (("--checkpoint", "run"), "add --train-backbone"),
        (("--set", "warm_up=3"), "warm_up is a setting of training the image network: add --train-backbone"),
        (("--train-backbone", "--set", "backbone_rate=0"), "backbone_rate must be positive"),
        (("--train-backbone", "--set", "augment=perhaps"), "augment must be true or false"),
        (("--train-backbone", "--set", "unit_input=false"), "set warm_up=0"),
        (("--train-backbone", "--set", "batch_sise=3"), "did you mean 'batch_size'"),
    ],
)
def test_invalid_options_are_refused(arguments, words: str, tmp_path: Path, photos: Path, tiny, run) -> None:
    result = run("fit", photos, "-o", tmp_path / "m", "--bits", 8, *arguments)
    assert result.status == 2 and words in result.err and result.err.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_a_matrix_has_no_network(tmp_path: Path, matrix: Path, run) -> None:
    result = run("fit", matrix, "-o", tmp_path / "m", "--bits", 8, "--train-backbone")
    assert result.status == 2 and "leave --train-backbone out" in result.err


def test_out_of_memory_names_the_batch(tmp_path: Path, photos: Path, tiny, run, monkeypatch) -> None:
    real = PairwiseTrainer.step

    def step(self: PairwiseTrainer, inputs: torch.Tensor, similarity: torch.Tensor) -> torch.Tensor:
        if trains_network(inputs):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")
        return real(self, inputs, similarity)

    monkeypatch.setattr(PairwiseTrainer, "step", step)
    result = run("fit", photos, "-o", tmp_path / "m", "--train-backbone", *SMALL)
    assert result.status == 2 and "--set batch_size=4" in result.err


def test_the_papers_recipe(tmp_path: Path, photos: Path, tiny, run) -> None:
    """A plain hash layer replaces the last layer, on unscaled features; SGD, likelihood loss, growing tanh."""
    recipe = ("optimizer=sgd", "learning_rate=0.01", "loss=likelihood", "attention_hidden=100", "gamma=0.2")
    recipe += ("tanh_growth=0.005", "warm_up=0", "unit_input=false", "batch_size=8", "n_steps=4")
    settings = [word for setting in recipe for word in ("--set", setting)]
    result = run("fit", photos, "-o", tmp_path / "m", "--bits", 16, "--train-backbone", *settings)
    assert result.status == 0, result.err
    model = Model.load(tmp_path / "m")
    assert model.encoder.kind == "linear" and not model.encoder.arrays()["mean"].any()


OWN_PROCESS = """
import os, signal
from gannet.cli import main
from gannet.training.trainer import PairwiseTrainer

step = PairwiseTrainer.step

def dying(self, inputs, similarity):
    if inputs.ndim == 4 and str(self.step_count) == os.environ.get("TEST_DIES_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, inputs, similarity)

PairwiseTrainer.step = dying
main()
"""


def in_own_process(folder: Path, arguments: tuple[object, ...], *start: str, **environment: str) -> Any:
    """Run ``gannet`` with the network ``tiny`` in another process, or in several."""
    script = folder / "own_process.py"
    script.write_text(OWN_PROCESS)
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, *start, str(script), *map(str, arguments), "--backbone", "tiny"]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=180)


def test_a_killed_run_continues_to_the_same_model(tmp_path: Path, photos: Path, tiny, run) -> None:
    command = ("fit", photos, "-o", tmp_path / "m", "--train-backbone", *SMALL, "--set", "checkpoint_every=1")
    assert run(*command).status == 0
    whole = (tmp_path / "m").read_bytes()
    (tmp_path / "m").unlink()
    command = (*command, "--checkpoint", tmp_path / "run")
    died = in_own_process(tmp_path, command, TEST_DIES_AT="2")
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert not (tmp_path / "m").exists() and len(list((tmp_path / "run").iterdir())) == 1
    result = run(*command)
    assert result.status == 0, result.err
    assert (tmp_path / "m").read_bytes() == whole


def test_torchrun_shares_a_training(tmp_path: Path, photos: Path, tiny, run) -> None:
    """Two processes write one model, close to the model of one process."""
    assert run("fit", photos, "-o", tmp_path / "alone", "--train-backbone", *SMALL).status == 0
    arguments = ("fit", photos, "-o", tmp_path / "both", "--train-backbone", *SMALL)
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = in_own_process(tmp_path, arguments, *torchrun, OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("learned 8 bits") == 1
    alone, both = Model.load(tmp_path / "alone"), Model.load(tmp_path / "both")
    for name, value in {**alone.weights, **alone.encoder.arrays()}.items():
        theirs = {**both.weights, **both.encoder.arrays()}[name]
        np.testing.assert_allclose(theirs, value, rtol=1e-2, atol=1e-3, err_msg=name)
