"""A process that was forked from one that has used Gannet can use it too: it neither hangs nor gives other results."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
if not hasattr(os, "fork"):
    pytest.skip("there is no fork here", allow_module_level=True)

CHILD = """
import multiprocessing, os, signal, sys
import numpy as np

random = np.random.default_rng(0)
limit = 100

def in_child(work):
    '''Whether work() is true in a forked child, which then ends as a program does.'''
    child = os.fork()
    if not child:
        signal.alarm(limit)
        sys.exit(0 if work() else 3)
    status = os.waitpid(child, 0)[1]
    assert status == 0, f"status {status} in the child"

def in_fork_context(work):
    '''The same for multiprocessing.'''
    process = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0 if work() else 3))
    process.start()
    process.join(limit)
    assert process.exitcode == 0, process.exitcode
"""

ENCODES = """
from gannet import ITQ, ImageHasher
from gannet.backbones import make_extractor

extractor = make_extractor()
images = random.integers(0, 256, (20, extractor.size, extractor.size, 3), dtype=np.uint8)
features = extractor(images)
hasher = ImageHasher(ITQ(8)).fit(list(images))

def encode():
    others = np.random.default_rng(os.getpid()).integers(0, 256, (9, 40, 40, 3), dtype=np.uint8)  # in no cache
    return len(hasher.encode(list(others))) == 9 and np.array_equal(extractor(images), features)

assert encode()
in_child(encode)
in_fork_context(encode)

def encode_in_grandchild():
    encode()
    in_child(encode)
    return encode()

in_child(encode_in_grandchild)
"""

ENCODES_WITH_TORCH = """
from gannet.backbones import FeatureExtractor, get_backbone
from gannet.backbones.extractor import TorchEngine

extractor = FeatureExtractor(get_backbone())
images = random.integers(0, 256, (9, 128, 128, 3), dtype=np.uint8)

def encode():
    engine = TorchEngine(extractor._network(), "cpu", "f32")
    return np.concatenate(list(engine.run([images[:8], images[8:]])))

features = encode()
in_child(lambda: np.allclose(encode(), features, atol=1e-4))
"""

FITS = """
from gannet.hashers import get_hasher
from gannet.hashers.settings import make_hasher, defaults

x = random.normal(size=(600, 256)).astype(np.float32)
data = {
    "features": x,
    "views": np.stack([x, x + 0.1 * random.normal(size=x.shape).astype(np.float32)], axis=1),
    "pixels": random.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8),
}
few = {"n_steps": "20", "n_epochs": "1", "width": "8"}

def fit(name):
    settings = {key: text for key, text in few.items() if key in defaults(get_hasher(name))}
    hasher = make_hasher(name, 16, 0, settings)
    learn = data[hasher.takes.kind]
    hasher.fit(learn)
    return hasher.transform(x if hasher.takes.kind == "views" else learn)

codes = {name: fit(name) for name in names}

def fit_again():
    return all(np.array_equal(fit(name), codes[name]) for name in names)

in_child(fit_again)
in_fork_context(fit_again)
"""

METHODS = [
    "bihalf",
    "cibhash",
    "dsh",
    "greedyhash",
    "hashgan",
    "itq",
    "sh",
    "sph",
    "ssdh",
    "uhga",
    "uhga-graph",
    "usdh",
]

FITS_IN_JOBLIB = """
import joblib
from gannet import UHGA

x = random.normal(size=(600, 256)).astype(np.float32)

def fit(seed):
    return UHGA(16, n_steps=20, random_state=seed).fit(x).transform(x)

codes = [fit(0), fit(1)]
signal.alarm(limit)
for backend in ("multiprocessing", "threading"):
    found = joblib.Parallel(n_jobs=2, backend=backend)(joblib.delayed(fit)(seed) for seed in (0, 1) * 3)
    assert all(map(np.array_equal, found, codes * 3)), backend
"""

EVALUATES = """
from concurrent.futures import ThreadPoolExecutor
from gannet import HammingIndex
from gannet.evaluation import evaluate

codes = random.integers(0, 256, (3000, 2), dtype=np.uint8)
labels = random.integers(0, 3, 3000)

def score(_=None):
    index = HammingIndex(codes, n_bits=16)
    index.prepare()
    return evaluate(codes[:300], codes, labels[:300], labels, 16).map, index.search(codes[:40], 3)[1].tolist()

expected = score()
in_child(lambda: score() == expected)
in_fork_context(lambda: score() == expected)
with ThreadPoolExecutor(4) as pool:
    assert list(pool.map(score, range(8))) == [expected] * 8
"""

SERVES = """
import io
from PIL import Image
from starlette.testclient import TestClient
from gannet import ITQ, Collection, ImageHasher
from gannet.retrieval.live import LiveCollection
from gannet.server import create_app

pictures = list(random.integers(0, 256, (12, 40, 40, 3), dtype=np.uint8))
hasher = ImageHasher(ITQ(8)).fit(pictures)
with Collection.create("c.gannet", hasher.model) as collection:
    collection.add(hasher.encode(pictures), [f"{i}.png" for i in range(12)])
client = TestClient(create_app(LiveCollection("c.gannet")), base_url="http://localhost")

def ask():
    file = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), os.getpid() % 256, np.uint8)).save(file, "png")
    answer = client.post("/search", files={"image": file.getvalue()})
    return answer.status_code == 200 and bool(answer.json()["results"])

assert ask()
in_child(ask)
"""


def run(program: str, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CHILD + program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr


def test_encoding(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    run(ENCODES, tmp_path)


def test_encoding_with_torch(tmp_path: Path) -> None:
    run(ENCODES_WITH_TORCH, tmp_path)


def test_serving(tmp_path: Path) -> None:
    """A server that loads the application before it forks its workers, as ``gunicorn --preload`` does."""
    pytest.importorskip("openvino")
    pytest.importorskip("fastapi")
    run(SERVES, tmp_path)


def test_fitting(tmp_path: Path) -> None:
    run(f"names = {METHODS}" + FITS, tmp_path)


def test_fitting_with_joblib(tmp_path: Path) -> None:
    run(FITS_IN_JOBLIB, tmp_path)


def test_evaluating_and_searching(tmp_path: Path) -> None:
    run(EVALUATES, tmp_path)
