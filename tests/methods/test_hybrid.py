"""Hybrid codes: the bits of two methods, in one encoder, one model file and one collection, searched by part."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet import ITQ, LSH, Collection, GannetError, HammingIndex, Hybrid, Model, UHGAGraph, UHGAViews, search
from gannet.codes import bits_between, n_bytes, pack, unpack
from gannet.hashers import method_for
from gannet.index.part import PartIndex
from gannet.retrieval.parts import part_index


def normal(n: int = 200, d: int = 24) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)).astype(np.float32)


def hybrid(n_bits: int, **settings: object) -> Hybrid:
    return Hybrid(n_bits, random_state=3, **({"n_steps": 4} | settings))


@pytest.mark.parametrize(("share", "n_first"), [(0.5, 10), (0.25, 5), (0.001, 1), (0.999, 19)])
def test_the_bits_are_those_of_both_methods(share: float, n_first: int) -> None:
    features = normal()
    bits = unpack(hybrid(20, share=share).fit_transform(features), 20)
    first = UHGAGraph(n_first, n_steps=4, random_state=3).fit_transform(features)
    second = ITQ(20 - n_first, random_state=3).fit_transform(features)
    np.testing.assert_array_equal(bits[:, :n_first], unpack(first, n_first))
    np.testing.assert_array_equal(bits[:, n_first:], unpack(second, 20 - n_first))


def test_from_views_the_second_method_learns_from_the_unchanged_images() -> None:
    originals = normal()
    views = np.stack([originals, originals + 0.1, originals - 0.1], axis=1)
    hasher = hybrid(16, kind="uhga-views").fit(views)
    bits = unpack(hasher.transform(originals), 16)
    np.testing.assert_array_equal(bits[:, 8:], unpack(ITQ(8, random_state=3).fit_transform(originals), 8))
    alone = UHGAViews(8, n_steps=4, n_contrast_steps=4, random_state=3).fit(views).transform(originals)
    np.testing.assert_array_equal(bits[:, :8], unpack(alone, 8))
    with pytest.raises(GannetError, match="hybrid learns from images"):
        hybrid(16, kind="uhga-views").fit(originals)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"share": 0.0}, "share must be above 0"),
        ({"share": 1.0}, "share must be above 0 and below 1"),
        ({"kind": "hashgan"}, "not hashgan"),
        ({"kind": "cibhash"}, "unchanged image first"),
        ({"nearest": "uhga-views"}, "learns from features: take one such as itq, not uhga-views"),
        ({"nearest": "hybrid-refined"}, "not itself or another hybrid"),
        ({"kind": "itqq"}, "did you mean 'itq'"),
    ],
)
def test_settings_that_make_no_sense_are_one_clear_line(settings: dict, words: str) -> None:
    with pytest.raises(GannetError, match=words):
        hybrid(**({"n_bits": 8} | settings)).fit(normal())


@pytest.mark.parametrize("second", ["itq", "sph", "sh"])
def test_the_model_file_holds_both_parts(second: str) -> None:
    hasher = hybrid(12, nearest=second).fit(normal())
    data = Model.of(hasher, None).to_bytes()
    model = Model.from_bytes(data)
    np.testing.assert_array_equal(model.encoder.encode(normal()), hasher.transform(normal()))
    assert model.to_bytes() == data


def test_a_model_file_with_a_part_of_no_known_kind_is_refused() -> None:
    data = Model.of(hybrid(12).fit(normal()), None)
    object.__setattr__(data.encoder.parts[1], "kind", "unheard")
    with pytest.raises(GannetError, match="no installed method has its encoder 'unheard'"):
        Model.from_bytes(data.to_bytes())


@given(st.data())
def test_bits_between_are_those_bits(data: st.DataObject) -> None:
    n_bits = data.draw(st.integers(1, 70))
    first = data.draw(st.integers(0, n_bits - 1))
    last = data.draw(st.integers(first + 1, n_bits))
    bits = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 2, (5, n_bits))
    np.testing.assert_array_equal(bits_between(pack(bits), first, last), pack(bits[:, first:last]))
    assert bits_between(pack(bits)[:0], first, last).shape == (0, n_bytes(last - first))


@pytest.mark.parametrize("bits", [(0, 9), (9, 20), (8, 16)])
def test_an_index_of_a_part_compares_its_bits(bits: tuple[int, int]) -> None:
    all_bits = np.random.default_rng(1).integers(0, 2, (60, 20))
    codes, n_bits = pack(all_bits), bits[1] - bits[0]
    index = PartIndex(codes[:50], 20, np.arange(50) + 7, bits=bits, make_index=HammingIndex)
    index.remove([7, 30])
    index.add(codes[50:], np.arange(50, 60) + 7)
    kept = np.setdiff1d(np.arange(60), [0, 23])
    plain = HammingIndex(pack(all_bits[kept, bits[0] : bits[1]]), n_bits, ids=kept + 7)
    query = pack(all_bits[:3, bits[0] : bits[1]])
    for found, expected in zip(index.search(codes[:3], 5), plain.search(query, 5), strict=True):
        np.testing.assert_array_equal(found, expected)
    for pair, expected_pair in zip(index.radius(codes[:3], 2), plain.radius(query, 2), strict=True):
        np.testing.assert_array_equal(pair, expected_pair)
    assert (len(index), index.n_bits) == (58, 20)
    with pytest.raises(GannetError, match="have no bits 16 to 21"):
        PartIndex(codes, 20, bits=(16, 21), make_index=HammingIndex)


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    hasher = hybrid(20).fit(normal())
    path = tmp_path / "h.gannet"
    with Collection.create(path, Model.of(hasher, None)) as made:
        made.add(hasher.transform(normal()), [f"item-{i}" for i in range(200)])
    return path


def test_a_search_by_part_counts_the_bits_of_the_part(collection: Path) -> None:
    bits = unpack(hybrid(20).fit(normal()).transform(normal()), 20)
    for part, some in (("kind", bits[:, :10]), ("nearest", bits[:, 10:])):
        expected = (some != some[5]).sum(axis=1)
        with Collection.open(collection, index=part_index(collection, part)) as opened:
            results = search(opened, ["5"], k=20)[0]["results"]
        order = np.lexsort((np.arange(200), expected))[:20]
        assert [(item["id"], item["distance"]) for item in results] == [(i, expected[i]) for i in order]


def test_parts_on_the_command_line(collection: Path, tmp_path: Path, gannet: Callable[..., str]) -> None:
    lines = [gannet("search", collection, "5", "--part", part) for part in ("kind", "nearest")]
    assert lines[0] != lines[1] and all("item-5" in text for text in lines)
    assert "did you mean 'nearest'" in gannet("search", collection, "5", "--part", "nearst", status=2)
    plain = tmp_path / "plain.gannet"
    with Collection.create(plain, Model.of(LSH(8).fit(normal()), None)) as made:
        made.add(LSH(8).fit_transform(normal()), [str(i) for i in range(200)])
    assert "have no parts" in gannet("search", plain, "5", "--part", "kind", status=2)
    assert "have no parts" in gannet("serve", plain, "--part", "kind", status=2)


@pytest.fixture
def gannet(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    from gannet.cli import main

    def call(*arguments: object, status: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["gannet", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capsys.readouterr()
        assert end.value.code == status, printed
        return printed.err if status else printed.out

    return call


def test_the_method_follows_from_the_goal() -> None:
    assert method_for(images=True) == method_for("kind", images=True) == "uhga-views"
    assert method_for(images=False) == method_for("nearest", images=True) == "itq-refined"
    assert method_for("kind", images=False) == "uhga-graph"
    assert method_for(images=True, train_backbone=True) == "uhga"
    with pytest.raises(GannetError, match="no method for the goal 'nearest' trains"):
        method_for("nearest", images=True, train_backbone=True)
    with pytest.raises(GannetError, match="unknown goal 'kinds'; did you mean 'kind'"):
        method_for("kinds", images=True)
