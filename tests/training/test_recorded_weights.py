"""Every method learns the weights that it learned at version 0.1, before its trainers were merged into one.

``recorded_weights.safetensors`` holds those weights. `record` wrote it, run on the sources of version 0.1; its metadata
name the machine. Weights that no optimizer of torch moves, or SGD alone, must be equal bit for bit on an equal machine;
all others up to rounding, as Adam is fused and sums are split since the recording. The file is
recorded anew with ``python tests/training/test_recorded_weights.py FILE``, which is only right after a change that
is meant to change what methods learn.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

from gannet import UHGA, FineTuning, ImageHasher
from gannet.backbones.base import Backbone
from gannet.hashers import all_hashers, get_hasher
from gannet.hashers.layer import DescentHasher

RECORDED = Path(__file__).with_name("recorded_weights.safetensors")
SEED = 3
QUICK = {
    "n_steps": 24, "n_contrast_steps": 12, "n_epochs": 1, "batch_size": 16, "width": 4, "hidden": 24, "n_iterations": 5,
}  # fmt: skip
# Methods with other settings than their defaults.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "uhga-paper": (
        "uhga",
        {
            "attention_hidden": 10, "optimizer": "sgd", "learning_rate": 0.01, "loss": "likelihood",
            "similarity": "cosine", "similarity_threshold": 0.3, "dissimilar": -1.0, "tanh_growth": 0.005,
            "attention_every": 1,
        },
    ),
    "uhga-every": ("uhga", {"attention_every": 3}),
    "uhga-plain-sgd": ("uhga-plain", {"optimizer": "sgd", "learning_rate": 0.05}),
}  # fmt: skip
# UHGA that trains the whole network.
NETWORKS: dict[str, tuple[dict[str, Any], FineTuning]] = {
    "network-adam": ({}, FineTuning(warm_up=5)),
    "network-sgd": ({"optimizer": "sgd", "learning_rate": 0.01}, FineTuning(warm_up=5)),
    "network-plain": ({"gradient_attention": False}, FineTuning(warm_up=0, unit_input=False, augment=False)),
}

Arrays = dict[str, np.ndarray]


class Small(Backbone):
    """A convolution with batch normalization and dropout, on images of 16 pixels."""

    name = "small"
    reference = "none"
    n_features = 20
    default_size = 16
    min_size = 8
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)

    def build(self) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Dropout(), nn.Linear(32, 20), nn.Tanh(),
        )  # fmt: skip

    def weights_file(self) -> Path:
        raise AssertionError("the weights are below")

    def weights(self, source: str | Path | None = None) -> Arrays:
        random = np.random.default_rng(0)
        weights: Arrays = {}
        for name, tensor in self.build().state_dict().items():
            if name.endswith("num_batches_tracked"):
                weights[name] = np.array(0, np.int64)
                continue
            values = random.standard_normal(tensor.shape)
            weights[name] = (np.abs(values) + 0.5 if name.endswith("var") else values).astype(np.float32)
        return weights


def data(kind: str) -> np.ndarray:
    """Return 150 items in 5 groups: features, features of three views, or (60 of them) pixels."""
    random = np.random.default_rng(0)
    group = random.integers(5, size=150)
    centers = random.normal(size=(5, 24)) * 3
    features = (centers[group] + random.normal(size=(150, 24))).astype(np.float32)
    views = (features[:, None] + 0.3 * random.normal(size=(150, 3, 24))).astype(np.float32)
    patches = random.integers(0, 200, (5, 4, 4, 3))[group] + random.integers(0, 55, (150, 4, 4, 3))
    pixels = patches.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    return {"features": features, "views": views, "pixels": pixels[:60]}[kind]


def learned_from_features(method: str, settings: dict[str, Any]) -> Arrays:
    """Return the arrays of the encoder that a method learns."""
    hasher = get_hasher(method)(12, random_state=SEED, **settings)
    return hasher.fit(data(hasher.takes.kind)).encoder_.arrays()


def learned_from_pixels(settings: dict[str, Any], fine_tuning: FineTuning) -> Arrays:
    """Return the arrays of the encoder and of the backbone that UHGA learns together."""
    pixels = (
        np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8).repeat(6, axis=1).repeat(6, axis=2)
    )
    hasher = UHGA(8, n_steps=12, batch_size=8, attention_hidden=4, attention_every=2, **settings)
    model = ImageHasher(hasher, Small(), fine_tuning).fit(list(pixels)).model
    return {**model.encoder.arrays(), **{f"backbone.{name}": array for name, array in model.weights.items()}}


def learned(case: str) -> Arrays:
    """Return what a case learns, by name."""
    if case in NETWORKS:
        return learned_from_pixels(*NETWORKS[case])
    if case in VARIANTS:
        method, settings = VARIANTS[case]
        return learned_from_features(method, {"n_steps": 24, "batch_size": 16, **settings})
    known = inspect.signature(get_hasher(case)).parameters
    return learned_from_features(case, {name: value for name, value in QUICK.items() if name in known})


def machine() -> dict[str, Any]:
    """Return what decides how sums are rounded."""
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)),
        "numpy": np.__version__,
    }


def is_exact(case: str) -> bool:
    """Return whether the arithmetic of a case is the same as in the recording, to the last bit."""
    if case in VARIANTS or case in NETWORKS:
        return case == "uhga-plain-sgd"
    return not issubclass(get_hasher(case), DescentHasher)


def record(path: Path) -> None:
    """Write the weights that all cases learn to a safetensors file."""
    arrays = {
        f"{case}/{name}": np.ascontiguousarray(array)
        for case in (*all_hashers(), *VARIANTS, *NETWORKS)
        for name, array in learned(case).items()
    }
    save_file(arrays, path, metadata={"machine": json.dumps(machine(), sort_keys=True)})


def recorded() -> tuple[dict[str, Any], dict[str, Arrays]]:
    """Return the machine of the recording, and the arrays of each case by name."""
    cases: dict[str, Arrays] = {}
    with safe_open(RECORDED, framework="numpy") as file:
        for key in file.keys():  # noqa: SIM118
            case, name = key.split("/")
            cases.setdefault(case, {})[name] = file.get_tensor(key)
        return json.loads(file.metadata()["machine"]), cases


RECORDED_MACHINE, RECORDED_CASES = recorded()


@pytest.mark.parametrize("case", RECORDED_CASES)
def test_weights_are_those_of_the_recording(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    expected, found = RECORDED_CASES[case], learned(case)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-3, atol=1e-4, err_msg=name)
        if machine() == RECORDED_MACHINE and is_exact(case):
            np.testing.assert_array_equal(found[name], array, err_msg=name)


def test_the_recording_covers_methods_variants_and_networks() -> None:
    assert {*VARIANTS, *NETWORKS} < RECORDED_CASES.keys()
    assert len(RECORDED_CASES) >= 22


if __name__ == "__main__":
    record(Path(sys.argv[1]))
