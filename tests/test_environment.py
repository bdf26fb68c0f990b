"""Unusual environments: no home folder, folders that cannot be written, switches of numba, Python and scikit-learn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BEFORE = """
import sys
from gannet.cli import main
"""
RUN = "main()\n"

NO_HOME = """
import os, pwd

def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = unknown
for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME", "XDG_CACHE_HOME"):
    os.environ.pop(name, None)
"""

FULL_DISK = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
"""


def run(
    before: str, *arguments: str, folder: Path, flags: tuple[str, ...] = (), **variables: str
) -> tuple[int, str, str]:
    """Run a command in a folder; return its exit status and what it printed on standard output and standard error."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", BEFORE + before + RUN, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NUMBA_CACHE_DIR": "", **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a matrix, two pictures, and a file of codes and labels."""
    from PIL import Image

    random = np.random.default_rng(0)
    np.save(tmp_path / "m.npy", random.normal(size=(100, 16)).astype(np.float32))
    (tmp_path / "photos").mkdir()
    for i in range(9):
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(tmp_path / "photos" / f"{i}.png")
    codes = {f"{side}_codes": random.integers(0, 2, (n, 16)) for side, n in (("query", 20), ("database", 300))}
    labels = {f"{side}_labels": random.integers(0, 3, n) for side, n in (("query", 20), ("database", 300))}
    np.savez(tmp_path / "codes.npz", **codes, **labels)
    return tmp_path


FIT = ("fit", "m.npy", "-o", "m.model", "--bits", "8", "--method", "uhga", "--set", "n_steps=20")
ENCODE = ("fit", "photos", "-o", "p.model", "--bits", "8", "--method", "itq")
SCORE = ("score", "codes.npz", "--json")


@pytest.mark.skipif(sys.platform == "win32", reason="has no user ids")
class TestUserWithoutHome:
    def test_commands_without_a_cache_work(self, folder: Path) -> None:
        for arguments in (FIT, SCORE):
            status, _, errors = run(NO_HOME, *arguments, folder=folder)
            assert status == 0, errors
        assert not (folder / "~").exists()

    def test_encoding_pictures_asks_for_a_folder_in_one_line(self, folder: Path) -> None:
        pytest.importorskip("openvino")
        for variables in ({"GANNET_CACHE": ""}, {"GANNET_CACHE": "~/cache"}):
            status, _, errors = run(NO_HOME, *ENCODE, folder=folder, **variables)
            assert (status, errors.count("\n")) == (2, 1) and "set GANNET_CACHE" in errors

    def test_encoding_pictures_works_with_a_folder(self, folder: Path) -> None:
        pytest.importorskip("openvino")
        status, _, errors = run(NO_HOME, *ENCODE, folder=folder, GANNET_CACHE=str(folder / "cache"))
        assert status == 0, errors
        assert not (folder / "~").exists()


class TestKernels:
    @pytest.fixture(autouse=True)
    def compiled(self, folder: Path) -> None:
        """Let the line about the first compilation be printed before a test."""
        run("", *SCORE, folder=folder)

    def test_the_first_compilation_says_why_it_takes_long(self, folder: Path) -> None:
        cache = str(folder / "numba")
        first, second = (run("", *SCORE, folder=folder, NUMBA_CACHE_DIR=cache) for _ in range(2))
        assert first == (
            0,
            second[1],
            "compiling functions for this computer; this happens once and takes some seconds\n",
        )
        assert second[2] == ""

    def test_they_are_compiled_although_numba_is_switched_off(self, folder: Path) -> None:
        pytest.importorskip("torch")
        before = run("", *SCORE, folder=folder)
        assert before[0] == 0
        assert run("", *SCORE, folder=folder, NUMBA_DISABLE_JIT="1") == before
        assert run("", *FIT, folder=folder, NUMBA_DISABLE_JIT="1")[0] == 0

    def test_numba_stays_switched_off_for_others(self) -> None:
        program = "import gannet.index._kernel, numba\n@numba.njit\ndef f(): pass\nassert not hasattr(f, 'py_func')"
        subprocess.run([sys.executable, "-c", program], env={**os.environ, "NUMBA_DISABLE_JIT": "1"}, check=True)

    @pytest.mark.skipif(sys.platform == "win32", reason="has no limit on the size of files")
    def test_a_full_disk_does_not_stop_readers(self, folder: Path) -> None:
        expected = run("", *SCORE, folder=folder)[1]
        status, output, errors = run(FULL_DISK, *SCORE, folder=folder, NUMBA_CACHE_DIR=str(folder / "numba"))
        assert (status, output) == (0, expected), errors
        assert re.fullmatch(
            "compiling functions .*\ncompiled functions cannot be kept .* set NUMBA_CACHE_DIR .*\n", errors
        )

    def test_a_damaged_cache_is_replaced(self, folder: Path) -> None:
        cache = folder / "numba"
        expected = run("", *SCORE, folder=folder)[1]
        run("", *SCORE, folder=folder, NUMBA_CACHE_DIR=str(cache))
        for suffix in ("nbi", "nbc"):
            files = list(cache.rglob(f"*.{suffix}"))
            assert files
            for size in (0, 10, 100):
                for file in files:
                    file.write_bytes(file.read_bytes()[:size])
                status, output, _ = run("", *SCORE, folder=folder, NUMBA_CACHE_DIR=str(cache))
                assert (status, output) == (0, expected)
                assert all(file.stat().st_size > size for file in cache.rglob("count*.nbi"))


def test_the_first_picture_on_a_computer_says_why_it_takes_long(folder: Path) -> None:
    pytest.importorskip("openvino")
    cache = str(folder / "cache")
    lines = []
    for model in ("a.model", "b.model"):
        status, _, errors = run("", "fit", "photos", "-o", model, *ENCODE[4:], folder=folder, GANNET_CACHE=cache)
        assert status == 0, errors
        lines.append(errors)
    assert re.fullmatch("preparing the image network [a-z0-9-]+ for this computer; this happens once .*\n", lines[0])
    assert lines[1] == ""


class TestWarningsAsErrors:
    FLAGS = ("-W", "error")

    @pytest.mark.parametrize("method", ["bihalf", "dsh", "greedyhash", "itq", "sh", "sph", "ssdh+ga", "uhga", "usdh"])
    def test_methods(self, method: str, folder: Path) -> None:
        pytest.importorskip("torch")
        arguments = ("fit", "m.npy", "-o", "m.model", "--bits", "8", "--method", method)
        status, _, errors = run("", *arguments, folder=folder, flags=self.FLAGS)
        assert status == 0, errors

    def test_pictures_on_a_new_machine(self, folder: Path) -> None:
        pytest.importorskip("openvino")
        status, _, errors = run("", *ENCODE, folder=folder, flags=self.FLAGS, GANNET_CACHE=str(folder / "cache"))
        assert status == 0, errors
