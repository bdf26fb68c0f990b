"""Recall on items that were held out of training, and what ``gannet fit`` says about it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from gannet import ITQ, LSH, GannetError, ImageHasher
from gannet.cli import make_group
from gannet.data import ImageSource, MatrixSource
from gannet.evaluation.float_ranking import nearest_by_cosine, neighbor_recall, recall_of_nearest
from gannet.evaluation.held_out import HeldOut, measure_fit
from gannet.methods.cibhash import CIBHash
from gannet.methods.hashgan import HashGAN
from gannet.methods.uhga_views import UHGAViews


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def mean_colors(images: list) -> np.ndarray:
    return np.array([np.asarray(image, np.float32)[:16, :16].mean(axis=0).ravel() for image in images])


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    return list(np.random.default_rng(0).integers(0, 256, (220, 32, 32, 3), dtype=np.uint8))


def test_recall_at_several_depths_is_that_at_each() -> None:
    queries, database = normal(20, 8), normal(300, 8, seed=1)
    hasher = LSH(12).fit(database)
    codes = hasher.transform(queries), hasher.transform(database)
    held_out = HeldOut.of(queries, database, k=5)
    assert held_out.recall(*codes, 12, [5, 50]) == {
        n: neighbor_recall(*codes, queries, database, 12, k=5, n=n) for n in (5, 50)
    }


def test_nearest_by_cosine_are_the_largest_inner_products() -> None:
    queries, database = normal(7, 5), normal(90, 5, seed=1)
    unit = database / np.linalg.norm(database, axis=1, keepdims=True)
    expected = np.sort(np.argsort(-(queries @ unit.T), axis=1)[:, :4], axis=1)
    np.testing.assert_array_equal(np.sort(nearest_by_cosine(queries, database, 4), axis=1), expected)
    equal = np.ones((6, 5), np.float32)
    assert sorted(nearest_by_cosine(queries, equal, 2)[0]) == [0, 1]
    assert recall_of_nearest(np.zeros((7, 1), np.uint8), np.zeros((6, 1), np.uint8), np.zeros((7, 1), int), 8, [3]) == {
        3: pytest.approx(0.5)
    }


def test_the_measure_is_that_of_the_items_held_out() -> None:
    source = MatrixSource("m", normal(2200, 24))
    hasher = ImageHasher(ITQ(12, random_state=4))
    training = hasher.read_training(source, sample=1000)
    assert training.is_sample and training.held_out is not None
    names = set(training.features.paths), set(training.held_out.paths)
    assert (len(names[0]), len(names[1])) == (1000, 100) and not names[0] & names[1]
    hasher.learn(training.features)
    alone = ITQ(12, random_state=4).fit(training.features.values)
    assert hasher.model.to_bytes() == ImageHasher(ITQ(12, random_state=4)).fit(source, sample=1000).model.to_bytes()
    queries, database = training.held_out.values, training.features.values
    measured = measure_fit(hasher, training, double=True)
    assert measured is not None
    codes = alone.transform(queries), alone.transform(database)
    assert measured.by_distance == neighbor_recall(*codes, queries, database, 12, k=10, n=100)
    values = alone.decision_function(queries)
    assert measured.by_score == neighbor_recall(*codes, queries, database, 12, k=10, n=100, query_values=values)
    longer = ITQ(24, random_state=4).fit(database)
    codes = longer.transform(queries), longer.transform(database)
    values = longer.decision_function(queries)
    of_double = neighbor_recall(*codes, queries, database, 24, k=10, n=100, query_values=values)
    assert measured.by_score_of_double == of_double
    assert re.fullmatch(
        r"12 bits: of the 10 nearest by cosine, \d+% are among the best 100 by code \(\d+% with 24 bits\), "
        r"\d+% by Hamming distance alone; "
        "100 items held out, compared with 1,000",
        str(measured),
    )


def test_a_length_that_the_data_do_not_allow_is_left_out() -> None:
    hasher = ImageHasher(ITQ(12))
    training = hasher.read_training(MatrixSource("m", normal(2200, 20)))
    measured = measure_fit(hasher.learn(training.features), training, double=True)
    assert measured is not None and measured.by_score_of_double is None and "24 bits" not in str(measured)


def test_few_items_are_all_learned_from() -> None:
    for n_items, n_bits in ((99, 8), (120, 115)):
        hasher = ImageHasher(LSH(n_bits))
        training = hasher.read_training(MatrixSource("m", normal(n_items, 20)))
        assert len(training.features.values) == n_items and training.held_out is None
        assert measure_fit(hasher.learn(training.features), training) is None


@pytest.mark.parametrize(
    "method",
    [
        ITQ(8),
        UHGAViews(8, n_views=2, n_steps=3, n_contrast_steps=3),
        CIBHash(8, n_views=2, n_steps=3),
        HashGAN(8, width=2, n_epochs=1, batch_size=20),
    ],
)
def test_every_kind_of_method_is_measured(method, pictures) -> None:
    hasher = ImageHasher(method, mean_colors)
    training = hasher.read_training(pictures)
    hasher.learn(training.features)
    measured = measure_fit(hasher, training)
    assert measured is not None and 0 <= measured.by_distance <= 1
    assert (measured.n_queries, measured.n_database, measured.n_candidates) == (20, 200, 20)


def test_images_outside_the_sample_are_not_read(pictures) -> None:
    seen = set()

    class Watched(ImageSource):
        def read(self, index: int) -> np.ndarray:
            seen.add(index)
            return pictures[index]

    ImageHasher(ITQ(8), mean_colors).fit(Watched("w", [str(i) for i in range(220)], "#"), sample=100)
    assert len(seen) == 110


def test_items_that_cannot_be_read_are_named_wherever_they_are(pictures) -> None:
    pictures[3:9] = [b"no picture"] * 6
    training = ImageHasher(LSH(8), mean_colors).read_training(pictures)
    assert {item.path for item in training.skipped} == {f"images#{i}" for i in range(3, 9)}


def test_the_command_tells_what_it_measured(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", normal(2200, 24))
    fit = ["fit", str(tmp_path / "m.npy"), "-o", str(tmp_path / "m.model"), "--bits", "8"]
    lines = CliRunner().invoke(make_group(), [*fit, "--sample", "1000"]).stdout.splitlines()
    assert lines[0].startswith("learned 8 bits from a random sample of 1,000 of 2,200 items with itq")
    assert lines[1].startswith("8 bits: of the 10 nearest by cosine, ") and "% with 16 bits)" in lines[1]
    record = json.loads(CliRunner().invoke(make_group(), [*fit, "--json"]).stdout)
    assert (record["method"], record["n_items"], record["n_total"]) == ("itq-refined", 2000, 2200)
    recall = record["recall"]
    assert (recall["n_queries"], recall["n_database"], recall["n_candidates"]) == (200, 2000, 100)
    assert 0 < recall["by_distance"] < recall["by_score"] < recall["by_score_of_double"] < 1
    np.save(tmp_path / "m.npy", normal(90, 24))
    assert CliRunner().invoke(make_group(), fit).stdout.splitlines()[1].startswith("not measured: too few items")
    assert json.loads(CliRunner().invoke(make_group(), [*fit, "--json"]).stdout)["recall"] is None


def test_rows_are_named_by_their_places_in_the_whole_matrix(tmp_path: Path) -> None:
    rows = normal(1000, 8)
    rows[:, 0] = np.nan
    np.save(tmp_path / "m.npy", rows)
    with pytest.raises(GannetError, match="row 0 of the features holds NaN"):
        ImageHasher(LSH(8)).fit(tmp_path / "m.npy")
    with pytest.raises(GannetError, match=r"m\.npy#[1-9]\d* holds NaN"):
        ImageHasher(LSH(8)).fit(tmp_path / "m.npy", sample=100)
