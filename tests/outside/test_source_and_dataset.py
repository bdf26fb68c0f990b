"""A source and a labeled data set of another distribution, from the command line and from Python."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gannet import ITQ, GannetError, ImageHasher
from gannet.data import (
    ImageSource,
    MatrixSource,
    all_datasets,
    get_dataset,
    open_row,
    open_source,
    opening,
    read_item,
)
from gannet.evaluation.items import find_protocol

LSH = ("--method", "lsh", "--bits", 16, "--backbone", "mean-color")


def results(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return json.loads(done.stdout)[0]["results"]


def test_fit_index_add_and_search_by_path(gannet, tmp_path: Path) -> None:
    gannet("fit", "colors://40", "-o", "m.model", *LSH)
    assert "holds 40" in gannet("index", "colors://40", "-m", "m.model", "-o", "c.gannet").stdout
    assert "left 40 unchanged" in gannet("add", "c.gannet", "colors://40").stdout
    assert results(gannet("search", "c.gannet", "colors://40#7", "--json"))[0]["path"].endswith("#7")
    # The collection does not hold this path; the image is read through the source.
    found = results(gannet("search", "c.gannet", "colors://9#7", "--json"))
    assert found[0]["distance"] == 0 and found[0]["path"].endswith("#7")
    page = tmp_path / "page.html"
    gannet("search", "c.gannet", "colors://40#7", "--html", page)
    assert page.read_text().count("data:image/jpeg") == 11


def test_vectors(gannet) -> None:
    gannet("fit", "numbers://40", "-o", "m.model", "--method", "itq", "--bits", 8)
    gannet("index", "numbers://30", "-m", "m.model", "-o", "c.gannet")
    assert results(gannet("search", "c.gannet", "numbers://40#7", "--json"))[0]["distance"] == 0
    assert "has no row 40" in gannet("search", "c.gannet", "numbers://40#40", status=2).stderr


def test_bench_by_name_and_with_a_path(gannet) -> None:
    quick = ("--methods", "lsh,alternating", "--bits", 16, "--backbone", "mean-color", "--json")
    records = json.loads(gannet("bench", "warm-or-cold", *quick).stdout)
    assert [record["method"] for record in records] == ["lsh", "alternating"]
    for record in records:
        assert record["protocol"] == "warm-or-cold" and record["n_train"] == 108 and record["map"] > 0.6
    smaller = json.loads(gannet("bench", "warm-or-cold", *quick, "--data", "colors://80").stdout)
    assert smaller[0]["n_train"] == 72
    error = gannet("bench", "warm-or-cald", *quick, status=2).stderr
    assert error == "gannet: unknown protocol 'warm-or-cald'; did you mean 'warm-or-cold'?\n"


def test_own_data_sets_are_benched_by_their_protocols(outside: Path) -> None:
    with pytest.raises(GannetError, match="unknown protocol 'cifar10'; did you mean 'cifar10-uhga'"):
        find_protocol("cifar10")


def test_sources_from_python(outside: Path) -> None:
    source = open_source("colors://12")
    assert isinstance(source, ImageSource) and source.name == "12" and source.paths[5] == "colors://12#5"
    assert np.array_equal(read_item("colors://12#5"), source.read(5))
    with pytest.raises(GannetError, match="no such picture: colors://12#12"):
        read_item("colors://12#12")
    with pytest.raises(GannetError, match="colors:// holds no images"):
        open_source("colors://")
    hasher = ImageHasher(ITQ(4), "mean-color").fit("colors://12")
    assert np.array_equal(hasher.encode("colors://12"), hasher.encode(source))


def test_rows_from_python(outside: Path) -> None:
    source = open_source("numbers://5")
    assert isinstance(source, MatrixSource) and source.paths[4] == "numbers://5#4"
    assert np.array_equal(open_row("numbers://5#4"), source.features[4:])
    assert open_row("colors://5#4") is None
    with pytest.raises(GannetError, match="row of a matrix"):
        read_item("numbers://5#4")


def test_data_sets_from_python(outside: Path) -> None:
    assert list(all_datasets()) == ["cifar10", "digits", "fashion-mnist", "nuswide21", "warm-or-cold"]
    found = get_dataset("warm-or-cold")().load()
    assert len(found) == 120 and found.class_names == ("warm", "cold") and found.is_test is None
    assert open_source("warm-or-cold").paths == found.source.paths  # the class is both
    with pytest.raises(GannetError, match="unknown data source 'colors'"):  # it is a source, not a data set
        get_dataset("colors")


def test_unknown_sources_are_listed(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(GannetError, match=r"accepted: .*an IDX folder.*random images \(colors://NUMBER\), random vec"):
        open_source(tmp_path / "notes.txt")
    with pytest.raises(GannetError, match=r"^other://12 cannot be read: No such file or directory$"):
        open_source("other://12")


def test_a_broken_entry_point_is_named_once_and_spares_the_others(
    gannet, install, use, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    points = {"gannet.sources": {"broken": "gannet_broken:Source"}}
    install(folder, {"name": "gannet-broken", "version": "1.0", "entry-points": points})
    use(folder)
    with caplog.at_level(logging.WARNING, "gannet"):
        for _ in range(2):
            assert len(open_source("colors://12")) == 12
    reason = "'broken' of gannet-broken cannot be imported: No module named 'gannet_broken'"
    assert [record.getMessage() for record in caplog.records] == [f"the data source {reason}"]
    done = gannet("fit", "colors://40", "-o", "m.model", *LSH)
    assert done.stderr.splitlines() == [f"the data source {reason}"] and "learned 16 bits" in done.stdout
    with pytest.raises(GannetError, match="cannot be imported"):
        get_dataset("broken")


def test_entry_points_are_looked_up_only_if_no_own_kind_takes_the_path(outside: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((3, 4)))
    script = (
        "import sys; from gannet.data import open_row, open_source, read_item\n"
        "open_source('m.npy'); open_row('m.npy#1'); read_item('sklearn-digits#all/3')\n"
        "try: read_item('gone.jpg')\n"
        "except ValueError: pass\n"
        "print('gannet_outside' in sys.modules)\n"
        "open_source('numbers://3'); print('gannet_outside' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_gannets_kinds_exclude_each_other_except_for_folders(outside: Path, tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz", "a.parquet", "a.png", "a.zip", "a.tar.gz", "a.txt"):
        path = tmp_path / name
        path.write_bytes(b"")
        takers = [kind.name for kind in opening.own_kinds() if kind.takes(str(path))]
        assert len(takers) == (name != "a.txt")
    assert [kind.name for kind in opening.own_kinds()[-2:]] == ["image-folder", "url-folder"]
