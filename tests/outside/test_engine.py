"""An engine of an outside distribution, found by the scheme of a target."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gannet import Collection, GannetError
from gannet.engines import Engine, all_engines, open_engine
from gannet.index import all_indexes, get_index
from tiny_model import tiny_model


def test_it_is_exported_to_and_searched(gannet, tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 256, (100, 3), dtype=np.uint8)
    with Collection.create(tmp_path / "c.gannet", tiny_model(24)) as collection:
        collection.add(codes, [f"{i}.jpg" for i in range(100)])
    done = json.loads(gannet("export", "c.gannet", "sqlite:c.sqlite", "--json").stdout)
    assert done["items"] == 100 and done["exact"] is True
    with Collection.open(tmp_path / "c.gannet") as collection:
        collection.remove([3, 4])
        collection.rename([5], ["new.jpg"])
    assert "2 removed, 1 renamed" in gannet("export", "c.gannet", "sqlite:c.sqlite", "--sync").stdout
    for query in ("7", "new.jpg"):
        found = [
            json.loads(gannet("search", place, query, "--json").stdout) for place in ("c.gannet", "sqlite:c.sqlite")
        ]
        assert found[0] == found[1] and len(found[0][0]["results"]) == 10


def test_engines_and_indexes_are_told_apart(outside: Path) -> None:
    assert issubclass(all_engines()["sqlite"], Engine) and "brute-force" not in all_engines()
    assert "brute-force" in all_indexes() and "sqlite" not in all_indexes()
    with pytest.raises(GannetError, match="'sqlite' is an engine: give its target in place of the collection"):
        get_index("sqlite")
    with pytest.raises(GannetError, match="unknown engine 'sqlit'; did you mean 'sqlite'"):
        open_engine("sqlit:x")
