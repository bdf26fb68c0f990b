"""A method, a backbone and an index of an outside distribution, from the command line and from Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gannet import ITQ, Collection, GannetError, HammingIndex, ImageHasher, find_duplicates, search
from gannet.hashers import get_hasher


def test_commands_list_them(gannet) -> None:
    methods = {row["name"]: row for row in json.loads(gannet("methods", "--json").stdout)}
    assert methods["alternating"]["reference"] == "an example" and "uhga" in methods
    backbones = {row["name"]: row for row in json.loads(gannet("backbones", "--json").stdout)}
    assert backbones["mean-color"]["default"] is False and "efficientnet-lite0" in backbones
    assert "mean-color" in gannet("backbones").stdout and "alternating" in gannet("methods").stdout


def test_fit_index_and_search_with_all_three(gannet, outside: Path) -> None:
    fitted = gannet(
        "fit", "colors://60", "-o", "m", "--method", "alternating", "--bits", 24, "--backbone", "mean-color"
    )
    assert "learned 24 bits from 60 items with alternating" in fitted.stdout
    gannet("index", "colors://60", "-m", "m", "-o", "c.gannet", "--keep-features")
    assert json.loads(gannet("info", "c.gannet", "--json").stdout)["model"]["backbone"] == "mean-color"
    for query in ("17", "colors://60#17"):
        found = [
            json.loads(gannet("search", "c.gannet", query, "--json", "--index", index).stdout)
            for index in ("hamming", "brute-force")
        ]
        assert found[0] == found[1] and len(found[0][0]["results"]) == 10
        assert found[0][0]["results"][0]["distance"] == 0
    error = gannet("search", "c.gannet", "17", "--index", "brute-farce", status=2).stderr
    assert error == "gannet: unknown index 'brute-farce'; did you mean 'brute-force'?\n"
    for option, name, known in (("--method", "alternatin", "alternating"), ("--backbone", "mean-colour", "mean-color")):
        error = gannet("fit", "colors://60", "-o", "x", option, name, status=2).stderr
        assert f"unknown {option[2:]} {name!r}; did you mean {known!r}?" in error


def test_from_python_by_name_and_directly(outside: Path, tmp_path: Path) -> None:
    from gannet_outside.backbone import MeanColor
    from gannet_outside.index import BruteForce
    from gannet_outside.method import Alternating
    from gannet_outside.source import ColorImages

    images = ColorImages("colors://60")
    assert get_hasher("alternating") is Alternating
    by_name = ImageHasher(get_hasher("alternating")(24), backbone="mean-color").fit(images)
    directly = ImageHasher(Alternating(24), backbone=MeanColor()).fit(images)
    np.testing.assert_array_equal(by_name.encode(images), directly.encode(images))
    directly.save(tmp_path / "m")
    loaded = ImageHasher.load(tmp_path / "m")  # the distribution brings the network under its name
    np.testing.assert_array_equal(loaded.encode(images), directly.encode(images))

    with Collection.create(tmp_path / "c", directly.model, index="brute-force") as collection:
        collection.add(directly.encode(images), images.paths)
        before = BruteForce.searches
        answers = search(collection, ["3", "4"], k=7)
        assert BruteForce.searches > before and isinstance(collection.index(), BruteForce)
        groups = find_duplicates(collection, radius=2)
    for index in (HammingIndex, BruteForce, "hamming", lambda codes, n_bits, ids: HammingIndex(codes, n_bits, ids)):
        with Collection.open(tmp_path / "c", index=index) as collection:
            assert search(collection, ["3", "4"], k=7) == answers
            assert find_duplicates(collection, radius=2) == groups


def test_an_outside_network_is_needed_where_images_are_encoded(outside: Path, tmp_path: Path, monkeypatch) -> None:
    from gannet_outside.source import ColorImages

    ImageHasher(ITQ(8), backbone="mean-color").fit(ColorImages("colors://60")).save(tmp_path / "m")
    monkeypatch.undo()  # takes the distribution off the path
    with pytest.raises(GannetError, match=r"needs the image network 'mean-color'.*install it, or pass it"):
        ImageHasher.load(tmp_path / "m")
