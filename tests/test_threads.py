"""The number of threads: what limits it, and that everything keeps to it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gannet.support import threads

AVAILABLE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", 1), (" 1 ", 1), ("1,2", 1), ("100000", AVAILABLE), ("", AVAILABLE), ("two", AVAILABLE), ("-1", AVAILABLE),
     ("0", AVAILABLE), ("9" * 5000, AVAILABLE), ("²", AVAILABLE)],
)  # fmt: skip
def test_the_environment_limits_the_number(value: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert threads.cores() == expected


@pytest.fixture
def groups(tmp_path: Path) -> tuple[Path, Path]:
    """The file that names the group of the process, ``a/b``, and the folder of all groups."""
    own, root = tmp_path / "own", tmp_path / "root"
    own.write_text("0::/a/b\n")
    (root / "a" / "b").mkdir(parents=True)
    return own, root


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        (None, None, math.inf),
        (None, "max 100000", math.inf),
        (None, "150000 100000", 1.5),
        ("50000 100000", "150000 100000", 0.5),
        ("max 100000", "400000 100000\n", 4),
        (None, "", math.inf),
        (None, "1 0", math.inf),
        (None, "one two", math.inf),
    ],
)
def test_the_quota_of_a_container(
    outer: str | None, inner: str | None, expected: float, groups: tuple[Path, Path]
) -> None:
    own, root = groups
    for folder, text in ((root / "a", outer), (root / "a" / "b", inner)):
        if text is not None:
            (folder / "cpu.max").write_text(text)
    assert threads.quota(own, root) == expected


def test_the_quota_of_a_container_that_sees_its_own_groups_only(groups: tuple[Path, Path]) -> None:
    own, root = groups
    own.write_text("3:cpu:/elsewhere\n0::/\n")
    (root / "cpu.max").write_text("200000 100000")
    assert threads.quota(own, root) == 2


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"0::/../..\n", b"0::/missing\n"])
def test_without_a_group_the_quota_is_infinite(content: bytes | None, groups: tuple[Path, Path]) -> None:
    own, root = groups
    own.unlink()
    if content is not None:
        own.write_bytes(content)
    assert threads.quota(own, root) == math.inf


COMMAND = """
import os, sys
from gannet.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
import threadpoolctl
from gannet.support import threads
numbers = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
numbers |= {threads.cores(), threads.pool()._max_workers}
if "torch" in sys.modules:
    numbers.add(sys.modules["torch"].get_num_threads())
if "openvino" in sys.modules:
    from gannet.backbones.extractor import _loaded
    numbers |= {int(e.engine._compiled.get_property("INFERENCE_NUM_THREADS")) for e in _loaded}
print(sorted(numbers), file=sys.stderr)
"""


def run(arguments: list[str], folder: Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *arguments],
        env={**kept, "PYTHONPATH": os.pathsep.join(sys.path), **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stderr.splitlines()[-1]


FIT = ["fit", "m.npy", "-o", "m.model", "--bits", "8", "--method", "uhga", "--set", "n_steps=20"]


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--threads", "1", *FIT], {}),
        ([*FIT, "--threads", "1"], {}),
        ([*FIT, "--threads=1"], {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}),
        (FIT, {"OMP_NUM_THREADS": "1"}),
    ],
)
def test_every_library_keeps_to_the_number(arguments: list[str], variables: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("torch")
    np.save(tmp_path / "m.npy", np.random.default_rng(0).normal(size=(100, 16)))
    assert run(arguments, tmp_path, **variables) == "[1]"


def test_the_image_network_keeps_to_the_number(tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    from PIL import Image

    (tmp_path / "photos").mkdir()
    for i, pixels in enumerate(np.random.default_rng(os.getpid()).integers(0, 256, (10, 40, 40, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    arguments = ["fit", "photos", "-o", "m.model", "--bits", "8", "--method", "itq", "--threads", "1"]
    assert run(arguments, tmp_path) == "[1]"


@pytest.mark.parametrize("number", ["0", "-1", "two", "1.5", ""])
def test_a_number_that_is_none_is_refused(number: str, tmp_path: Path) -> None:
    program = "from gannet.cli import main; main()"
    command = [sys.executable, "-c", program, "info", "x", "--threads", number]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2 and "--threads" in done.stderr and done.stderr.count("\n") == 1
