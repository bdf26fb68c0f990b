"""Networks and goals that cannot be used are refused in one line with exit status 2, and nothing is written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_bad_input import refused

import tiny_networks

IMAGES = torch.zeros(2, 3, 32, 32)


def export(path: Path, module: torch.nn.Module, *inputs: torch.Tensor) -> Path:
    """Write an ONNX file; skip the test where the library is missing."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    tiny_networks.export(path, module, *inputs)
    return path


@pytest.mark.parametrize(
    ("module", "inputs", "words"),
    [
        (tiny_networks.Small(float("nan")), (IMAGES,), "returns NaN or infinity for an image"),
        (tiny_networks.TwoInputs(), (IMAGES, IMAGES), "give a network whose only input is the images"),
    ],
    ids=["NaN", "two inputs"],
)
def test_onnx_files(module: torch.nn.Module, inputs: Any, words: str, tmp_path: Path, photos: Path, run) -> None:
    path = export(tmp_path / "network.onnx", module, *inputs)
    refused(run("fit", photos, "-o", tmp_path / "m", "--backbone", f"onnx:{path}"), words)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (lambda n: np.full((n, 4), np.nan), "'pixel-network' returns NaN or infinity for an image"),
        (lambda n: np.zeros((n, 4 if n == 1 else 5)), "'pixel-network' must return an array of shape"),
        (lambda n: np.zeros((n + 1, 4)), "'pixel-network' must return an array of shape"),
    ],
    ids=["NaN", "another width", "another number"],
)
def test_batches(values: Any, words: str, tmp_path: Path, photos: Path, tiny, run, monkeypatch) -> None:
    import small_networks

    monkeypatch.setattr(small_networks.PixelNetwork, "encode", lambda self, images: values(len(images)))
    arguments = ("--method", "lsh", "--bits", 4, "--backbone", "pixel-network")
    refused(run("fit", photos, "-o", tmp_path / "m", *arguments), words)
    assert not (tmp_path / "m").exists()


def test_a_hub_that_cannot_be_reached(tmp_path: Path, photos: Path) -> None:
    pytest.importorskip("transformers")
    program = """
import socket, time

def refuse(*arguments, **options):
    raise ConnectionRefusedError("no network in this test")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = socket.getaddrinfo = refuse
time.sleep = lambda seconds: None  # the hub's library waits between its attempts
from gannet.cli import main
main()
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path / "hub"), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = ["fit", str(photos), "-o", str(tmp_path / "m"), "--backbone", "hf:facebook/dinov2-small"]
    done = subprocess.run([sys.executable, "-c", program, *command], env=environment, capture_output=True, text=True)
    result = SimpleNamespace(status=done.returncode, out=done.stdout, err=done.stderr)
    refused(result, "'hf:facebook/dinov2-small' is not on this computer, and the hub that has it cannot be reached")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("goal", ["nearest", "kind"])
def test_three_items(goal: str, tmp_path: Path, save_image, tiny, run) -> None:
    np.save(tmp_path / "three.npy", np.random.default_rng(0).normal(size=(3, 16)))
    (tmp_path / "three").mkdir()
    for number in range(3):
        save_image(tmp_path / "three" / f"{number}.png", number)
    for source in ("three.npy", "three"):
        words = "n_samples=3 is too few to learn 64 bits: give at least 64 items, or ask for fewer bits"
        refused(run("fit", tmp_path / source, "-o", tmp_path / "m", "--goal", goal), words)
    refused(run("fit", tmp_path / "three.npy", "-o", tmp_path / "m", "--goal", "next"), "unknown goal 'next'")
    refused(run("advise", tmp_path / "three.npy", "--goal", "next"), "unknown goal 'next'")
    refused(run("advise", tmp_path / "three.npy"), "too few")
    assert not (tmp_path / "m").exists()
