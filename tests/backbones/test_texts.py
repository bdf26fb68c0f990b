"""Texts as queries: the text towers of networks on disk, and the centers of texts and images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import tiny_networks as tiny
from gannet import ITQ, ImageHasher, MatrixSource
from gannet.backbones import make_extractor
from gannet.errors import GannetError

TEXTS = ["a red car", "a dog", "a page of text on a table", ""]
PICTURES = [Image.fromarray(pixels) for pixels in np.random.default_rng(0).integers(0, 256, (12, 40, 50, 3), np.uint8)]
TOWERS: dict[str, tuple[str, Callable[..., tiny.Forward]]] = {
    "open_clip": ("open_clip:local-dir:{}", tiny.open_clip_folder),
    "hf": ("hf:{}", lambda path, **options: tiny.hf_folder(path, "clip", **options)),
}


def of_library(name: str, folder: Path) -> np.ndarray:
    """The library's own features of the texts, one at a time."""
    with torch.inference_mode():
        if name == "open_clip":
            model, _ = tiny.open_clip.create_model_from_pretrained(f"local-dir:{folder}")
            tokenizer = tiny.open_clip.get_tokenizer(f"local-dir:{folder}")
            return np.concatenate([model.eval().encode_text(tokenizer([text])).numpy() for text in TEXTS])
        model = tiny.transformers.CLIPModel.from_pretrained(folder)
        tokenizer = tiny.transformers.AutoTokenizer.from_pretrained(folder)
        encoded = [tokenizer([text], truncation=True, max_length=8, return_tensors="pt") for text in TEXTS]
        return np.concatenate([model.get_text_features(**tokens).pooler_output.numpy() for tokens in encoded])


@pytest.mark.parametrize("name", TOWERS)
def test_a_text_tower(name: str, tmp_path: Path) -> None:
    form, write = TOWERS[name]
    folder, file = tmp_path / "network", tmp_path / "m.model"
    write(folder, license="mit")
    hasher = ImageHasher(ITQ(4), backbone=form.format(folder)).fit(PICTURES)
    hasher.save(file)
    found, record = hasher.text_features(TEXTS), hasher.model.texts
    expected = of_library(name, folder)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    images = hasher.features(PICTURES).values
    length = np.linalg.norm(images, axis=1).mean()
    np.testing.assert_allclose(found, length * (unit - record.mean) + images.mean(axis=0), rtol=0, atol=1e-4 * length)
    assert found.std(axis=0).min() > 0.01 * length

    # The model file holds both towers and the tokenizer.
    folder.rename(tmp_path / "elsewhere")
    np.testing.assert_array_equal(ImageHasher.load(file).text_features(TEXTS), found)


@pytest.fixture(params=TOWERS)
def network(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, Callable[..., tiny.Forward]]:
    """Write a network whose license does not allow copies; return its name, its folder, and what writes others."""
    form, write = TOWERS[request.param]
    folder = tmp_path / "network"
    write(folder, license="cc-by-nc-4.0")
    return form.format(folder), folder, write


def test_other_weights_of_the_text_tower_are_refused(network, tmp_path: Path) -> None:
    name, folder, _ = network
    hasher = ImageHasher(ITQ(4), backbone=name).fit(PICTURES)
    hasher.save(tmp_path / "m.model")
    assert not hasher.model.weights and not hasher.model.texts.files
    again = ImageHasher.load(tmp_path / "m.model")
    np.testing.assert_array_equal(again.text_features(TEXTS), hasher.text_features(TEXTS))

    (file,) = folder.glob("*.safetensors")
    weights = load_file(file)
    key = next(key for key in weights if "token_embedding" in key)
    weights[key][5] += 1
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(GannetError, match="was made with weights whose SHA-256 is"):
        ImageHasher.load(tmp_path / "m.model")


def test_another_tokenizer_is_refused_and_leaves_the_features_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    tiny.hf_folder(folder, "clip", license="cc-by-nc-4.0")
    ImageHasher(ITQ(4), backbone=f"hf:{folder}").fit(PICTURES).save(tmp_path / "m.model")
    key = make_extractor(f"hf:{folder}").cache_key
    tokenizer = folder / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"dog"', '"god"'))
    loaded = ImageHasher.load(tmp_path / "m.model")
    assert loaded.reader.extractor.cache_key == key and len(loaded.encode(PICTURES)) == len(PICTURES)
    with pytest.raises(GannetError, match=r"was made with the tokenizer of .*, SHA-256 .*: give the same") as error:
        loaded.text_features(TEXTS)
    assert "\n" not in str(error.value)


def test_a_network_without_its_tokenizer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "network"
    tiny.hf_folder(folder, "clip")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    hasher = ImageHasher(ITQ(4), backbone=f"hf:{folder}").fit(PICTURES)
    assert hasher.model.texts is None and len(hasher.encode(PICTURES)) == len(PICTURES)
    (warning,) = [record.message for record in caplog.records if "will take no texts" in record.message]
    assert str(folder) in warning and "\n" not in warning
    with pytest.raises(GannetError, match="has no text tower of the image network"):
        hasher.text_features(TEXTS)


def test_a_network_without_a_text_tower(tmp_path: Path) -> None:
    tiny.hf_folder(tmp_path / "network")
    hasher = ImageHasher(ITQ(4), backbone=f"hf:{tmp_path / 'network'}").fit(PICTURES)
    assert hasher.model.texts is None and b'"texts"' not in hasher.model.to_bytes()
    with pytest.raises(GannetError, match="such as --backbone open_clip:NAME/PRETRAINED"):
        hasher.text_features(TEXTS)


def test_an_object_that_encodes_images_and_texts() -> None:
    def vector(item: object) -> list[float]:
        return [len(item), 1, 2] if isinstance(item, str) else [*np.asarray(item).mean((0, 1))]

    class Both:
        name = "both"

        def encode(self, given: list) -> torch.Tensor:
            return torch.tensor([vector(item) for item in given])

    hasher = ImageHasher(ITQ(3), backbone=Both(), text_network=Both()).fit(PICTURES)
    assert hasher.model.texts.network == "both" and hasher.text_features(TEXTS).shape == (4, 3)
    tower = replace(hasher.model, texts=replace(hasher.model.texts, network=None))
    with pytest.raises(GannetError, match="has a text tower: leave the text network out"):
        ImageHasher(model=tower, backbone=Both(), text_network=Both()).text_features(TEXTS)


def test_the_text_tower_of_the_network_that_made_a_matrix(tmp_path: Path) -> None:
    folder, other = tmp_path / "network", tmp_path / "other"
    tiny.open_clip_folder(folder)
    of_images = ImageHasher(ITQ(4), backbone=f"open_clip:local-dir:{folder}").fit(PICTURES)
    matrix = MatrixSource("rows.npy", of_images.reader.read(PICTURES).values)
    hasher = ImageHasher(ITQ(4), text_network=f"open_clip:local-dir:{folder}").fit(matrix)
    np.testing.assert_allclose(hasher.text_features(TEXTS), of_images.text_features(TEXTS), rtol=1e-4, atol=1e-4)
    hasher.save(tmp_path / "m.model")
    assert ImageHasher.load(tmp_path / "m.model").text_features(TEXTS).shape == (4, 16)
    folder.rename(other)
    tiny.open_clip_folder(folder, seed=1)
    with pytest.raises(GannetError, match="was made with the text network of"):
        ImageHasher.load(tmp_path / "m.model").text_features(TEXTS)
    tiny.hf_folder(tmp_path / "images")
    with pytest.raises(GannetError, match="has no text tower: name one for images and texts"):
        ImageHasher(ITQ(4), text_network=f"hf:{tmp_path / 'images'}")
