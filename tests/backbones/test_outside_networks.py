"""Networks from outside: objects with encode(), callables, and torch networks with buffers that no weight file has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gannet import ITQ, UHGA, Backbone, FeatureReader, GannetError, ImageHasher
from gannet.data import decode
from gannet.hashers.takes import FromViews
from gannet.model import Model


class Histograms:
    """Gray histograms of PIL images."""

    name = "histograms"
    size = 24

    def __init__(self) -> None:
        self.calls: list[int] = []

    def encode(self, images: list[Image.Image]) -> np.ndarray:
        self.calls.append(len(images))
        assert all(isinstance(image, Image.Image) and image.mode == "RGB" for image in images)
        return np.array([np.bincount(np.asarray(image.convert("L")).ravel() // 16, minlength=16) for image in images])


def mean_color(images: list[Image.Image]) -> np.ndarray:
    return np.array([np.asarray(image).mean(axis=(0, 1)) for image in images])


class Preprocessed:
    """The pair of a preprocessing and a torch module that many libraries hand out."""

    name = "preprocessed"
    size = 8

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))

    def preprocess(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.resize((8, 8)), np.float32) / 255)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        assert batch.shape[1:] == (8, 8, 3)
        return self.network(batch)


class Positions(nn.Module):
    """A convolution that adds a fixed pattern, kept in a buffer that state_dict leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 12, 4, 4)
        self.register_buffer("pattern", torch.linspace(-1, 1, 12)[:, None, None], persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tanh(self.convolution(images) + self.pattern).mean((2, 3))


class Positional(Backbone):
    """`Positions` as a backbone."""

    name = "positional"
    reference = "none"
    n_features = 12
    default_size = 16
    min_size = 8
    mean = std = (0.5, 0.5, 0.5)

    def build(self) -> nn.Module:
        return Positions()

    def weights_file(self) -> Path:
        raise AssertionError("the weights are below")

    def weights(self, source: Any = None) -> dict[str, np.ndarray]:
        random = np.random.default_rng(1)
        shapes = {"convolution.weight": (12, 3, 4, 4), "convolution.bias": (12,)}
        return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def pictures() -> list[np.ndarray]:
    """Forty pictures of large patches, all of different sizes."""
    random = np.random.default_rng(0)
    patches = random.integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    return [patch.repeat(5 + i % 3, axis=0).repeat(6 + i % 4, axis=1) for i, patch in enumerate(patches)]


@pytest.mark.parametrize("network", [Histograms(), Histograms, mean_color, Preprocessed()])
def test_any_object_is_a_network(network: Any, pictures: list[np.ndarray]) -> None:
    hasher = ImageHasher(ITQ(3), backbone=network).fit(pictures)
    instance = network() if isinstance(network, type) else network
    call = getattr(instance, "encode", None) or (
        (lambda images: instance(torch.stack([instance.preprocess(image) for image in images])).detach().numpy())
        if hasattr(instance, "preprocess")
        else instance
    )
    expected = call([Image.fromarray(picture) for picture in pictures])
    np.testing.assert_allclose(hasher.features(pictures).values, expected, rtol=1e-5)
    np.testing.assert_array_equal(hasher.encode(pictures), hasher.hasher.transform(expected.astype(np.float32)))
    assert hasher.model.backbone == getattr(network, "name", "mean_color") and hasher.model.weights == {}


def test_a_network_that_is_not_stored_is_named_and_asked_for_at_load(tmp_path: Path, pictures) -> None:
    hasher = ImageHasher(ITQ(8), backbone=Histograms()).fit(pictures)
    hasher.save(tmp_path / "m")
    with pytest.raises(GannetError, match=r"needs the image network 'histograms', which it does not hold: .*backbone="):
        ImageHasher.load(tmp_path / "m")
    loaded = ImageHasher.load(tmp_path / "m", backbone=Histograms())
    np.testing.assert_array_equal(loaded.encode(pictures), hasher.encode(pictures))
    with pytest.raises(GannetError, match="made with the image network 'histograms' at 24 pixels, not with"):
        ImageHasher.load(tmp_path / "m", backbone=mean_color)


def test_outside_features_are_never_cached(cache: Path, pictures) -> None:
    network = Histograms()
    reader = FeatureReader(network)
    for _ in range(2):
        reader.read(pictures)
    assert sum(network.calls) == 2 * len(pictures) + 1  # one more gray image, for the number of features
    assert not list(cache.glob("features/*"))


def test_views_of_an_outside_network_have_its_size(pictures) -> None:
    seen: list[tuple[int, int]] = []

    def sizes(images: list[Image.Image]) -> np.ndarray:
        seen.extend(image.size for image in images)
        return mean_color(images)

    found = FeatureReader(sizes).read(pictures[:3], FromViews(4))
    assert found.values.shape == (3, 4, 3)
    assert set(seen) == {(224, 224)}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda n: np.zeros(n), r"must return an array of shape \(1, d\) for 1 images, not \(1,\)"),
        (lambda n: np.zeros((n + 1, 3)), r"not \(2, 3\)"),
        (lambda n: np.array([["a"]] * n), "must return numbers, not <U1"),
        (lambda n: np.zeros((n, n)), r"must return an array of shape \(32, 1\) for 32 images, not \(32, 32\)"),
    ],
)
def test_invalid_vectors_are_refused(answer: Any, words: str, pictures) -> None:
    with pytest.raises(GannetError, match=words):
        FeatureReader(lambda images: answer(len(images))).read(pictures)


def test_other_objects_are_refused_as_networks() -> None:
    with pytest.raises(GannetError, match=r"a backbone must be a name, a gannet\.Backbone or an object with encode"):
        ImageHasher(backbone=17).fit([np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(GannetError, match="unknown backbone 'alexnett'; did you mean 'alexnet'"):
        ImageHasher(backbone="alexnett").fit([np.zeros((8, 8, 3), np.uint8)])


def test_a_backbone_instance_with_buffers_that_no_file_has(tmp_path: Path, pictures) -> None:
    """Its model file holds its weights: whoever loads it passes the class, here with other published weights."""
    hasher = ImageHasher(ITQ(8), backbone=Positional()).fit(pictures)
    network = Positions()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in Positional().weights().items()})
    small = torch.from_numpy(np.stack([decode(picture, 16) for picture in pictures])).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = network(small / 127.5 - 1).numpy()
    np.testing.assert_allclose(hasher.features(pictures).values, expected, rtol=1e-3, atol=1e-5)
    hasher.save(tmp_path / "m")

    class Other(Positional):
        def weights(self, source: Any = None) -> dict[str, np.ndarray]:
            return {name: 0 * value for name, value in super().weights().items()}

    loaded = ImageHasher.load(tmp_path / "m", backbone=Other())
    np.testing.assert_array_equal(loaded.encode(pictures), hasher.encode(pictures))
    assert set(Model.load(tmp_path / "m").weights) == {"convolution.weight", "convolution.bias"}
    with pytest.raises(GannetError, match="at 16 pixels, not with 'positional' at 32"):
        ImageHasher.load(tmp_path / "m", backbone=Positional(32))


def test_only_a_backbone_is_trained(pictures) -> None:
    hasher = ImageHasher(UHGA(4, n_steps=2, batch_size=8), backbone=Histograms(), train_backbone=True)
    with pytest.raises(GannetError, match=r"the network 'histograms' can't be trained: only a gannet\.Backbone can"):
        hasher.fit(pictures)
    trained = ImageHasher(UHGA(4, n_steps=2, batch_size=8), backbone=Positional(), train_backbone=True).fit(pictures)
    assert not np.array_equal(trained.model.weights["convolution.bias"], Positional().weights()["convolution.bias"])


def test_features_carry_their_own_network(tmp_path: Path, pictures) -> None:
    """Reading something else between reading and learning does not change what is learned."""
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((50, 16)))
    hasher = ImageHasher(ITQ(8), backbone=Histograms())
    images = hasher.features(pictures)
    matrix = hasher.features(tmp_path / "v.npy")
    assert hasher.learn(images).model.backbone == "histograms"
    assert hasher.encode(pictures).shape == (40, 1)
    other = ImageHasher(ITQ(8), backbone=Histograms())
    other.features(tmp_path / "v.npy")
    other.features(pictures)
    assert other.learn(matrix).model.backbone is None
    assert other.encode(tmp_path / "v.npy").shape == (50, 1)
    with pytest.raises(GannetError, match="reads feature vectors, not images"):
        other.encode(pictures)


def test_features_of_another_kind_are_refused(pictures) -> None:
    hasher = ImageHasher(ITQ(8), backbone=Histograms())
    with pytest.raises(GannetError, match=r"itq takes FromFeatures\(\), but these features were read as FromViews"):
        hasher.learn(hasher.reader.read(pictures, FromViews(2)))


@pytest.mark.parametrize("form", [np.asarray, torch.tensor, list, lambda rows: [torch.tensor(row) for row in rows]])
def test_encode_with_options_may_return_arrays_tensors_or_lists(form):
    class SentenceModel:
        def encode(self, sentences, batch_size=32, convert_to_numpy=True):
            return form(np.array([np.asarray(image, np.float32).mean(axis=(0, 1)) for image in sentences]))

    pictures = list(np.random.default_rng(0).integers(0, 255, (12, 8, 8, 3), np.uint8))
    values = FeatureReader(SentenceModel()).read(pictures).values
    assert np.allclose(values, [picture.mean(axis=(0, 1)) for picture in pictures], atol=1e-3)
