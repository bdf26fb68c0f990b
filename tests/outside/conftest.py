"""A distribution outside Gannet, installed as a wheel is: its modules and its metadata in one folder on the path."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gannet.data import opening

TREE = Path(__file__).parent / "gannet-outside"
Gannet = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(name="install", scope="session")
def install_fixture() -> Callable[[Path, dict], None]:
    """Return the function that installs a distribution."""
    return install


def install(folder: Path, project: dict) -> None:
    """Write the metadata of a distribution into a folder, as an installer does."""
    name = project["name"].replace("-", "_")
    info = folder / f"{name}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))
    record = info / "RECORD"
    record.touch()
    files = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    record.write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which gannet-outside is installed."""
    folder = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TREE / "gannet_outside", folder / "gannet_outside", ignore=ignored)
    install(folder, tomllib.loads((TREE / "pyproject.toml").read_text())["project"])
    return folder


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], None]]:
    """Return a function that puts a folder on the path of this process and of those that it starts."""

    def put(folder: Path) -> None:
        monkeypatch.syspath_prepend(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        opening.other_kinds.cache_clear()

    yield put
    opening.other_kinds.cache_clear()


@pytest.fixture
def outside(site: Path, use: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make gannet-outside importable and return its folder."""
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    use(site)
    return site


@pytest.fixture
def gannet(outside: Path, tmp_path: Path) -> Gannet:
    """Run ``gannet`` in a process of its own."""

    def call(*arguments: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from gannet.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == status, done.stderr
        return done

    return call
