"""Texts as queries of a collection: the centers of texts and items, re-ranking, and texts without an answer."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from gannet import ITQ, Collection, ImageHasher, MatrixSource, search
from gannet.collection.feature_rows import half_unit
from gannet.errors import GannetError
from gannet.hashers.base import Hasher
from gannet.methods.itq_refined import ITQRefined
from gannet.methods.uhga import UHGAPlain
from gannet.model import Model

WIDTH, EACH = 48, 40
WORDS = ["boat", "car", "dog", "flower", "house", "lamp"]


def direction(word: str) -> np.ndarray:
    """The direction of a word, which texts and items share."""
    return np.random.default_rng(zlib.crc32(word.encode())).standard_normal(WIDTH) / np.sqrt(WIDTH)


@dataclass
class Apart:
    """A text network whose vectors lie apart from those of the items, on the side of boats and lamps."""

    name: str = "apart"

    def encode(self, texts: list[str]) -> np.ndarray:
        offset = 2 * direction("boat") + direction("lamp")
        return np.array([sum(map(direction, text.split()), offset) for text in texts])


def items() -> np.ndarray:
    """Vectors of length 7 of 40 items per word, far from the texts."""
    random = np.random.default_rng(0)
    rows = np.repeat([direction(word) for word in WORDS], EACH, axis=0) + 2 * direction("items lie here")
    rows += 0.3 * random.standard_normal(rows.shape) / np.sqrt(WIDTH)
    return (7 * rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def collection_of(path: Path, model: Model) -> Collection:
    made = Collection.create(path, model, n_features=WIDTH)
    made.add(model.encoder.encode(items()), [word for word in WORDS for _ in range(EACH)], features=half_unit(items()))
    return made


def precision(collection: Collection, **options: object) -> float:
    """Return the share of the 10 results of ``a photo of a WORD`` that are the word's items."""
    answers = search(collection, texts=[f"a photo of a {word}" for word in WORDS], text_network=Apart(), **options)
    paths = [[item["path"] for item in answer["results"]] for answer in answers]
    return float(np.mean([[path == word for path in found] for word, found in zip(WORDS, paths, strict=True)]))


@pytest.mark.parametrize("hasher", [ITQ(24), ITQRefined(24), UHGAPlain(24, n_steps=50)], ids=lambda hasher: hasher.name)
def test_texts_are_centered_by_their_own_mean(hasher: Hasher, tmp_path: Path) -> None:
    model = ImageHasher(hasher, text_network=Apart()).fit(MatrixSource("items.npy", items())).model
    record = model.texts
    common = replace(model, texts=replace(record, mean=record.item_mean / record.length))  # no shift
    with collection_of(tmp_path / "own", model) as own, collection_of(tmp_path / "common", common) as shared:
        assert precision(own) > 0.95 and precision(own, asymmetric=False) > 0.8
        assert precision(shared) < 0.6
        assert precision(own, rerank=60) > 0.95 > 0.6 > precision(shared, rerank=60)


def test_a_text_beside_other_queries(tmp_path: Path) -> None:
    model = ImageHasher(ITQ(24), text_network=Apart()).fit(MatrixSource("items.npy", items())).model
    with collection_of(tmp_path / "c", model) as collection:
        np.save(tmp_path / "rows.npy", items()[:2])
        answers = search(collection, ["17", f"{tmp_path}/rows.npy"], texts=["17"], text_network=Apart(), k=50)
        assert [answer["query"] for answer in answers] == [
            "17",
            f"{tmp_path}/rows.npy#0",
            f"{tmp_path}/rows.npy#1",
            "17",
        ]
        by_id, _, _, by_text = answers
        assert by_id["results"][0]["distance"] == 0 and "score" not in by_id["results"][0]
        assert "score" in by_text["results"][0] and by_text["results"] != by_id["results"]
        near = search(collection, texts=["a boat"], text_network=Apart(), radius=8)[0]["results"]
        assert near and all(item["distance"] <= 8 for item in near)


def test_the_text_network_of_a_model(tmp_path: Path) -> None:
    with pytest.raises(GannetError, match="makes vectors of 48 values, but the items have 7 features"):
        ImageHasher(ITQ(4), text_network=Apart()).fit(
            MatrixSource("m.npy", np.random.default_rng(0).normal(size=(50, 7)))
        )
    with pytest.raises(GannetError, match=r"must be a name or an object with encode\(list of str\)"):
        ImageHasher(ITQ(4), text_network=7)
    model = ImageHasher(ITQ(24), text_network=Apart()).fit(MatrixSource("items.npy", items())).model
    model.save(tmp_path / "m.model")
    loaded = ImageHasher.load(tmp_path / "m.model", text_network=Apart())
    np.testing.assert_array_equal(loaded.model.texts.mean, model.texts.mean)
    assert loaded.text_features(["a car", "a dog"]).shape == (2, WIDTH)
    with pytest.raises(GannetError, match="needs the text network 'apart': install it, or pass it"):
        ImageHasher.load(tmp_path / "m.model").text_features(["a car"])
    with pytest.raises(GannetError, match=r"was made with the text network of 'apart'.*not with that of 'other'"):
        ImageHasher.load(tmp_path / "m.model", text_network=Apart(name="other")).text_features(["a car"])
    with pytest.raises(GannetError, match="cannot encode texts: "):
        loaded.text_features([7])


def test_a_collection_without_a_text_network(tmp_path: Path) -> None:
    model = ImageHasher(ITQ(24)).fit(MatrixSource("items.npy", items())).model
    assert model.texts is None and b"texts" not in model.to_bytes()
    with collection_of(tmp_path / "c", model) as collection:
        with pytest.raises(GannetError, match=r"^the text 'a car' cannot be searched for: the model has no text "):
            search(collection, texts=["a car"], text_network=Apart())
        item, text = search(collection, ["3"], texts=["a car"])
        assert item["results"] and not text["results"] and "no text network" in text["error"]


def test_the_record_in_a_model_file(tmp_path: Path) -> None:
    model = ImageHasher(ITQ(24), text_network=Apart()).fit(MatrixSource("items.npy", items())).model
    files = {"spiece.model": bytes(range(256)), "empty": b""}
    kept = Model.from_bytes(replace(model, texts=replace(model.texts, files=files)).to_bytes())
    assert kept.texts.files == files
    nan, zero = np.full(WIDTH, np.nan, np.float32), np.zeros(1, np.float32)
    for change in ({"mean": nan}, {"length": zero}, {"mean": nan[:5] * 0}, {"item_mean": nan[:5] * 0}):
        damaged = replace(model, texts=replace(model.texts, **change))
        with pytest.raises(GannetError, match="does not hold a complete model"):
            Model.from_bytes(damaged.to_bytes())
