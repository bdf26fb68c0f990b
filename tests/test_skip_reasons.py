"""The option ``--only-skip-for``: a run fails if a test is skipped for another reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_that_passes():
    pass

@pytest.mark.skipif(True, reason="needs a CUDA GPU")
def test_on_a_gpu():
    pass

@pytest.mark.xfail
def test_that_is_expected_to_fail():
    assert False
"""
INSIDE_A_TEST = "def test_of_a_browser():\n    pytest.skip('there is no Chromium')\n"
WHOLE_MODULE = "pytest.importorskip('a_module_that_is_missing')\n"


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder in a process of its own, with the option available and no other plugin."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-p", "skip_reasons", "-p", "no:cacheprovider", *options]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_allowed_reasons_pass(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(TESTS)
    result = run(tmp_path, "--only-skip-for", "cifar-10", "--only-skip-for", "gpu")
    assert result.returncode == 0, result.stdout
    assert "does not allow" not in result.stdout


@pytest.mark.parametrize(
    ("more", "reason"), [(INSIDE_A_TEST, "there is no Chromium"), (WHOLE_MODULE, "could not import")]
)
def test_another_reason_fails_the_run(tmp_path: Path, more: str, reason: str) -> None:
    (tmp_path / "test_one.py").write_text(TESTS)
    (tmp_path / "test_two.py").write_text("import pytest\n" + more)
    result = run(tmp_path, "--only-skip-for", "GPU")
    assert result.returncode == pytest.ExitCode.TESTS_FAILED
    named = result.stdout.partition("does not allow")[2]
    assert "test_two.py" in named and reason in named and "CUDA" not in named


def test_without_the_option_any_reason_passes(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(TESTS + INSIDE_A_TEST)
    assert run(tmp_path).returncode == 0


def test_a_failure_stays_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(TESTS + "\ndef test_that_fails():\n    assert False\n")
    assert run(tmp_path, "--only-skip-for", "GPU").returncode == pytest.ExitCode.TESTS_FAILED
