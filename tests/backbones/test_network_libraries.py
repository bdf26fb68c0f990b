"""Networks of other libraries: the same features as the library's own, and one clear line for everything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

import tiny_networks as tiny
from gannet import ITQ, ImageHasher
from gannet.backbones import get_backbone, make_extractor, network_libraries
from gannet.errors import GannetError
from gannet.feature_reader import FeatureReader
from gannet.model import Model


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    patches = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((width, height), Image.Resampling.BICUBIC)


PICTURES = [picture(40, 30), picture(300, 500, 1), picture(32, 32, 2), picture(2500, 1300, 3)] * 3
"""More than one batch, and one picture that is larger than the pictures that other networks see."""

CASES: dict[str, tuple[str, Callable[[Path], tiny.Forward]]] = {
    "timm, transformer": ("timm:local-dir:{}", tiny.timm_folder),
    "timm, convolutions": ("timm:local-dir:{}", lambda path: tiny.timm_folder(path, "test_resnet")),
    "open_clip": ("open_clip:local-dir:{}", tiny.open_clip_folder),
    "hf, ViT": ("hf:{}", tiny.hf_folder),
    "hf, CLIP": ("hf:{}", lambda path: tiny.hf_folder(path, "clip")),
    "hf, ResNet": ("hf:{}", lambda path: tiny.hf_folder(path, "resnet")),
    "hf, without pooling": ("hf:{}", lambda path: tiny.hf_folder(path, "classifier")),
    "onnx": ("onnx:{}", lambda path: tiny.onnx_file(path, external_data=False)),
    "onnx, weights beside": ("onnx:{}", lambda path: tiny.onnx_file(path, external_data=True)),
    "onnx, two images": ("onnx:{}", lambda path: tiny.onnx_file(path, dynamic=False)),
}


@pytest.fixture(params=CASES)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, tiny.Forward]:
    """A network on disk: its name, and the library's own preprocessing and forward pass."""
    form, write = CASES[request.param]
    return form.format(tmp_path / "network"), write(tmp_path / "network")


def line(error: pytest.ExceptionInfo[GannetError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def test_features_are_those_of_the_library(network: tuple[str, tiny.Forward]) -> None:
    name, forward = network
    found = FeatureReader(name).read(PICTURES)
    with torch.inference_mode():
        expected = np.stack([forward(image) for image in PICTURES])
    assert not found.skipped and found.values.dtype == np.float32 and found.values.std() > 0
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_a_model_gives_the_same_codes_after_loading(network: tuple[str, tiny.Forward], tmp_path: Path) -> None:
    name, _ = network
    hasher = ImageHasher(ITQ(4), backbone=name).fit(PICTURES)
    hasher.save(tmp_path / "m.model")
    loaded = ImageHasher.load(tmp_path / "m.model")
    np.testing.assert_array_equal(loaded.encode(PICTURES), hasher.encode(PICTURES))
    provenance = loaded.model.provenance
    assert provenance is not None and len(provenance.digest) == 64
    assert loaded.model.backbone == name and loaded.model.has_network


FREE = {
    "timm": ("timm:local-dir:{}", tiny.timm_folder),
    "open_clip": ("open_clip:local-dir:{}", tiny.open_clip_folder),
    "hf": ("hf:{}", lambda path, **options: tiny.hf_folder(path, "clip", **options)),
    "hf, without pooling": ("hf:{}", lambda path, **options: tiny.hf_folder(path, "classifier", **options)),
}


@pytest.fixture(params=FREE)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Callable[..., tiny.Forward]]:
    form, write = FREE[request.param]
    return form, tmp_path / "network", write


def test_weights_that_may_be_passed_on_are_in_the_model_file(folder, tmp_path: Path) -> None:
    form, path, write = folder
    write(path, license="apache-2.0")
    hasher = ImageHasher(ITQ(4), backbone=form.format(path)).fit(PICTURES)
    codes = hasher.encode(PICTURES)
    hasher.save(tmp_path / "m.model")
    path.rename(tmp_path / "elsewhere")
    (path.parent / "cache").rename(tmp_path / "old cache")
    assert np.array_equal(ImageHasher.load(tmp_path / "m.model").encode(PICTURES), codes)


def test_other_weights_are_not_stored_and_are_checked_at_loading(folder, tmp_path: Path) -> None:
    form, path, write = folder
    write(path, license="cc-by-nc-4.0")
    file = tmp_path / "m.model"
    hasher = ImageHasher(ITQ(4), backbone=form.format(path)).fit(PICTURES)
    hasher.save(file)
    assert not hasher.model.weights
    moved = path.rename(tmp_path / "elsewhere")
    with pytest.raises(GannetError, match=r"elsewhere|network") as error:
        ImageHasher.load(file)
    line(error)
    again = ImageHasher.load(file, backbone=form.format(moved))
    np.testing.assert_array_equal(again.encode(PICTURES), hasher.encode(PICTURES))
    write(path, license="cc-by-nc-4.0", seed=1)
    for backbone in (None, form.format(path), len):
        with pytest.raises(GannetError, match="was made with weights whose SHA-256 is") as error:
            ImageHasher.load(file, backbone=backbone)
        line(error)


def test_the_cache_of_features_knows_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "network"
    tiny.timm_folder(path)
    first = FeatureReader(f"timm:local-dir:{path}").read(PICTURES).values
    tiny.timm_folder(path, seed=1)
    second = FeatureReader(f"timm:local-dir:{path}").read(PICTURES).values
    assert np.abs(first - second).max() > 0.01


def test_the_cache_of_features_knows_the_preprocessing(tmp_path: Path) -> None:
    path = tmp_path / "network"
    tiny.hf_folder(path)
    first = FeatureReader(f"hf:{path}").read(PICTURES).values
    config = path / "preprocessor_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "image_mean": [0.1, 0.2, 0.3]}))
    assert np.abs(FeatureReader(f"hf:{path}").read(PICTURES).values - first).max() > 0.01


def test_a_checkpoint_of_open_clip(tmp_path: Path) -> None:
    (tmp_path / "gannet-tiny.json").write_text(json.dumps(tiny.OPEN_CLIP))
    tiny.open_clip.add_model_config(tmp_path / "gannet-tiny.json")
    folder = tmp_path / "network"
    tiny.open_clip_folder(folder)
    name = f"open_clip:gannet-tiny/{folder / 'open_clip_model.safetensors'}"
    found = FeatureReader(name)
    assert found.read(PICTURES[:2]).values.shape == (2, 16)
    assert found.extractor.name == name and not found.extractor.weights
    with pytest.raises(GannetError, match="name the weights too: open_clip:gannet-tiny/PRETRAINED") as error:
        make_extractor("open_clip:gannet-tiny")
    line(error)


def test_settings_of_transformers_beside_an_onnx_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = tiny.Small()
    tiny.export(tmp_path / "network.onnx", module, torch.zeros(2, 3, 32, 32))
    settings = {"size": {"shortest_edge": 40}, "crop_size": 32, "image_mean": [0.5, 0.4, 0.3], "resample": 2}
    processor = tiny.transformers.CLIPImageProcessorPil(**settings)
    processor.save_pretrained(tmp_path)
    found = FeatureReader(f"onnx:{tmp_path / 'network.onnx'}").read(PICTURES[:3]).values
    with torch.inference_mode():
        expected = module(processor(images=PICTURES[:3], return_tensors="pt")["pixel_values"]).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_an_onnx_file_that_takes_bytes(tmp_path: Path) -> None:
    class Bytes(tiny.Small):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return super().forward(images.permute(0, 3, 1, 2).float())

    module = Bytes()
    tiny.export(tmp_path / "network.onnx", module, torch.zeros(2, 32, 32, 3, dtype=torch.uint8))
    image = picture(32, 32)
    found = FeatureReader(f"onnx:{tmp_path / 'network.onnx'}").read([image]).values
    expected = module(torch.tensor(np.asarray(image))[None]).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_license_in_an_onnx_file(tmp_path: Path) -> None:
    path, file = tmp_path / "network.onnx", tmp_path / "m.model"
    tiny.onnx_file(path, external_data=True)
    network = onnx.load(path)
    onnx.helper.set_model_props(network, {"license": "MIT"})
    onnx.save(network, path, save_as_external_data=True, location="weights", size_threshold=0)
    hasher = ImageHasher(ITQ(4), backbone=f"onnx:{path}").fit(PICTURES)
    hasher.save(file)
    path.unlink()
    np.testing.assert_array_equal(
        ImageHasher.load(file).encode([picture(50, 40, 9)]), hasher.encode([picture(50, 40, 9)])
    )


def test_other_weights_in_an_onnx_file_are_refused(tmp_path: Path) -> None:
    path, file = tmp_path / "network.onnx", tmp_path / "m.model"
    tiny.onnx_file(path, external_data=True)
    ImageHasher(ITQ(4), backbone=f"onnx:{path}").fit(PICTURES).save(file)
    weights = path.with_name("network.onnx.data")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(GannetError, match="was made with weights whose SHA-256 is") as error:
        ImageHasher.load(file)
    line(error)


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x80\x04N.", b"\x08\x07"])
def test_no_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "network.onnx").write_bytes(content)
    with pytest.raises(GannetError, match=r"network\.onnx is not an ONNX file") as error:
        make_extractor(f"onnx:{tmp_path / 'network.onnx'}")
    line(error)


def test_an_onnx_file_with_other_inputs(tmp_path: Path) -> None:
    images, path = torch.zeros(2, 3, 32, 32), tmp_path / "network.onnx"
    tiny.export(path, tiny.TwoInputs(), images, images)
    with pytest.raises(
        GannetError, match=r"has 2 inputs \(.*\): give a network whose only input is the images"
    ) as error:
        make_extractor(f"onnx:{path}")
    line(error)
    tiny.export(path, torch.nn.Linear(8, 3), torch.zeros(2, 8))
    with pytest.raises(
        GannetError, match=r"has an input .* and shape .*: give a network whose input is images"
    ) as error:
        make_extractor(f"onnx:{path}")
    line(error)
    tiny.export(path, torch.nn.Conv2d(3, 4, 3), images)
    with pytest.raises(GannetError, match=r"no output of shape \(n, d\)") as error:
        make_extractor(f"onnx:{path}")
    line(error)


def test_a_network_that_gives_nan(tmp_path: Path) -> None:
    path = tmp_path / "network.onnx"
    tiny.export(path, tiny.Small(float("nan")), torch.zeros(2, 3, 32, 32))
    with pytest.raises(GannetError, match="returns NaN or infinity for an image") as error:
        make_extractor(f"onnx:{path}")
    line(error)
    with pytest.raises(GannetError, match="returns NaN or infinity for an image"):
        FeatureReader(lambda images: np.full((len(images), 3), np.nan)).read(PICTURES[:1])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("tim:resnet18", "unknown network library 'tim'; did you mean 'timm'"),
        ("timm:resnet18x", "unknown timm network 'resnet18x'; did you mean 'resnet18'"),
        ("timm:zzzzzzzzzz", r"unknown timm network 'zzzzzzzzzz'; none of the [\d,]+ names is similar"),
        ("timm:local-dir:absent", "absent is not a folder of a timm network: it must hold config.json and the weights"),
        ("open_clip:ViT-B-33/openai", "unknown OpenCLIP network 'ViT-B-33'; did you mean 'ViT-"),
        ("open_clip:ViT-B-32/openia", "did you mean 'openai'"),
        ("open_clip:local-dir:absent", "absent is not a folder of an OpenCLIP network"),
        ("hf:./absent", "there is no folder .*absent"),
        ("onnx:absent.onnx", "there is no file .*absent.onnx"),
    ],
)
def test_a_name_that_does_not_exist(name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GannetError, match=reason) as error:
        make_extractor(name)
    assert len(line(error)) < 400


@pytest.mark.parametrize("form", ["timm:local-dir:{}", "hf:{}"])
def test_a_folder_whose_weights_are_damaged(form: str, tmp_path: Path) -> None:
    path = tmp_path / "network"
    (tiny.timm_folder if form.startswith("timm") else tiny.hf_folder)(path)
    (path / "model.safetensors").write_bytes(b"rubbish")
    with pytest.raises(GannetError, match="cannot be loaded") as error:
        make_extractor(form.format(path))
    line(error)


OFFLINE = """
import socket, sys

def refuse(*arguments, **options):
    print("CONNECTS", file=sys.stderr)
    raise ConnectionRefusedError("no network in this test")

socket.socket.connect = socket.socket.connect_ex = refuse
socket.create_connection = socket.getaddrinfo = refuse

from gannet.backbones import make_extractor, network_libraries
from gannet.errors import GannetError

try:
    extractor = make_extractor(sys.argv[1])
    extractor.text_tower({})
    print(extractor.n_features, extractor.provenance.revision, extractor.provenance.license)
except GannetError as error:
    print(error)
"""


def offline(name: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Load a network in a process that can contact nobody and has an empty cache of weights."""
    environment = {**os.environ, "HF_HOME": str(home), "TORCH_HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment.pop("HF_HUB_OFFLINE", None)
    command = [sys.executable, "-c", OFFLINE, name]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("name", ["timm:resnet18", "open_clip:ViT-B-32/laion2b_s34b_b79k", "hf:facebook/dinov2-small"])
def test_a_hub_that_cannot_be_reached(name: str, tmp_path: Path) -> None:
    done = offline(name, tmp_path / "home")
    assert done.returncode == 0, done.stderr
    (printed,) = done.stdout.splitlines()
    assert printed.startswith(
        f"the network {name!r} is not on this computer, and the hub that has it cannot be reached"
    )


@pytest.mark.parametrize("case", ["timm, transformer", "open_clip", "hf, CLIP", "onnx"])
def test_loading_a_local_network_contacts_nobody(case: str, tmp_path: Path) -> None:
    form, write = CASES[case]
    write(tmp_path / "network")
    done = offline(form.format(tmp_path / "network"), tmp_path / "home")
    assert done.returncode == 0 and "CONNECTS" not in done.stderr, done.stderr
    n_features, revision, _ = done.stdout.split()
    assert int(n_features) > 0 and revision == "None"


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("timm:hf-hub:group/tiny", tiny.timm_folder),
        ("open_clip:hf-hub:group/tiny", tiny.open_clip_folder),
        ("hf:group/tiny", tiny.hf_folder),
    ],
)
def test_a_copy_in_the_cache_of_the_hub(name: str, write: Callable[..., tiny.Forward], tmp_path: Path) -> None:
    commit, repository = "0123456789abcdef0123456789abcdef01234567", tmp_path / "home" / "hub" / "models--group--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    (repository / "snapshots").mkdir()
    write(repository / "snapshots" / commit, license="mit")
    done = offline(name, tmp_path / "home")
    assert done.returncode == 0 and done.stdout.split()[1:] == [commit, "mit"], done.stdout + done.stderr


def test_every_library_describes_itself() -> None:
    assert sorted(network_libraries().own()) == ["hf", "onnx", "open_clip", "timm"]
    for name, library in network_libraries().own().items():
        assert library.example.startswith(f"{name}:") and library.form and library.reference
        assert library.unavailable() is None


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(GannetError, match=r"needs timm: pip install 'gannet-hash\[timm\]'") as error:
        make_extractor("timm:resnet18")
    line(error)


def test_models_without_such_a_network_are_written_as_before() -> None:
    extractor = make_extractor(get_backbone())
    model = Model.of(ITQ(4).fit(np.random.default_rng(0).normal(size=(20, 8))), extractor)
    assert b'"network"' not in model.to_bytes() and Model.from_bytes(model.to_bytes()).provenance is None
