"""What is said of a library that is missing, and of one that is installed but cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from gannet.errors import GannetError, MissingExtraError
from gannet.evaluation.compat import compat_map
from gannet.hashers import get_hasher
from gannet.support.libraries import load


def test_a_missing_library_names_the_extra() -> None:
    with pytest.raises(MissingExtraError, match=r"^a test needs no_such_library: pip install 'gannet-hash\[train\]'$"):
        load("no_such_library", "train", "a test")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import another_missing_library", "No module named 'another_missing_library'"),
        ("from os import no_such_name", "cannot import name 'no_such_name'"),
        ("raise OSError('libx.so: cannot open\\nshared object file')", "libx.so: cannot open shared object file"),
        ("raise ImportError", "ImportError"),
    ],
)
def test_a_broken_library_is_not_reported_as_missing(
    content: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_library.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(GannetError, match="broken_library, which is installed but cannot be imported: ") as error:
        load("broken_library", "train", "a test")
    assert not isinstance(error.value, MissingExtraError)
    assert reason in str(error.value) and "\n" not in str(error.value)


def test_a_missing_package_of_a_module_is_the_missing_library() -> None:
    with pytest.raises(MissingExtraError, match=r"^a test needs no_such_library: pip install 'gannet-hash\[train\]'$"):
        load("no_such_library.module", "train", "a test")


LEARN = np.random.default_rng(0).normal(size=(40, 8))


@pytest.mark.parametrize("name", ["uhga", "greedyhash"])
def test_methods_and_evaluators_without_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=f"^learning with {name} needs torch: pip install"):
        get_hasher(name)(8).fit(LEARN)
    codes, labels = np.zeros((3, 1), np.uint8), [1, 2, 3]
    with pytest.raises(MissingExtraError, match=r"fire.* needs torch: pip install"):
        compat_map("fire", codes, codes, labels, labels, 8)
