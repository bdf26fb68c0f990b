"""Texts as queries: the text towers of networks on disk, and the centers of texts and images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import tiny_networks as tiny
from gannet import ITQ, ImageHasher

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
