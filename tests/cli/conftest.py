"""Run the command line in the tests, on small pictures and with a small network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gannet import backbones
from gannet.backbones import FeatureExtractor
from gannet.backbones.base import say_preparing
from gannet.cli import main
from gannet.support.compiled import say_compiling

NETWORKS = Path(__file__).parents[1] / "networks"
N_IMAGES = 60


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of networks that were converted once; converting one takes longer than most tests."""
    return tmp_path_factory.mktemp("openvino")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, converted: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test out of the user's cache, and share the converted networks alone."""
    folder = tmp_path_factory.mktemp("cache")
    (folder / "openvino").symlink_to(converted)
    monkeypatch.setenv("GANNET_CACHE", str(folder))
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run ``gannet`` with some arguments in this process, after the line about the first compilation."""
    say_compiling()

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["gannet", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        return Result(end.value.code, printed.out, printed.err)  # type: ignore[arg-type]

    return call


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the network ``tiny``, make it the default one, and use up the line that it is being prepared."""
    say_preparing("tiny")
    monkeypatch.syspath_prepend(NETWORKS)
    monkeypatch.setattr(backbones, "DEFAULT_BACKBONE", "tiny")


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the images that the network encodes, one entry per image."""
    images: list[int] = []
    stream = FeatureExtractor.stream

    def counting(self: FeatureExtractor, items: Any) -> Any:
        def counted() -> Any:
            for item in items:
                images.append(len(images))
                yield item

        return stream(self, counted())

    monkeypatch.setattr(FeatureExtractor, "stream", counting)
    return images


@pytest.fixture(name="save_image")
def save_image_fixture() -> Callable[[Path, int], Path]:
    """Return the function that makes the pictures."""
    return save_image


def save_image(path: Path, seed: int) -> Path:
    """Write a picture of four by four random patches."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(patches).resize((32, 32), Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of pictures, one in a subfolder."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for i in range(N_IMAGES - 1):
        save_image(folder / f"{i:02}.png", i)
    save_image(folder / "sub" / "last.png", N_IMAGES - 1)
    return folder


@pytest.fixture
def vectors() -> np.ndarray:
    """Return vectors around 5 centers."""
    random = np.random.default_rng(0)
    centers = random.standard_normal((5, 20))
    return (centers[np.arange(100) % 5] + 0.3 * random.standard_normal((100, 20))).astype(np.float32)


@pytest.fixture
def matrix(tmp_path: Path, vectors: np.ndarray) -> Path:
    path = tmp_path / "vectors.npy"
    np.save(path, vectors)
    return path


@pytest.fixture
def matrix_model(tmp_path: Path, matrix: Path, run: Run) -> Path:
    path = tmp_path / "vectors.model"
    assert run("fit", matrix, "-o", path, "--method", "itq", "--bits", 12).status == 0
    return path


@pytest.fixture
def matrix_collection(tmp_path: Path, matrix: Path, matrix_model: Path, run: Run) -> Path:
    path = tmp_path / "vectors.gannet"
    assert run("index", matrix, "-m", matrix_model, "-o", path).status == 0
    return path


@pytest.fixture
def image_model(tmp_path: Path, photos: Path, tiny: None, run: Run) -> Path:
    path = tmp_path / "photos.model"
    assert run("fit", photos, "-o", path, "--method", "lsh", "--bits", 16).status == 0
    return path


@pytest.fixture
def image_collection(tmp_path: Path, photos: Path, image_model: Path, run: Run) -> Path:
    path = tmp_path / "photos.gannet"
    assert run("index", photos, "-m", image_model, "-o", path).status == 0
    return path
