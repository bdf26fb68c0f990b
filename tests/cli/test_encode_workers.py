"""``gannet encode --workers`` and ``--ray`` write what one process writes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import N_IMAGES, NETWORKS, Run

N_MORE = 520


@pytest.fixture
def more_photos(photos: Path, save_image: Callable[[Path, int], Path]) -> Path:
    """Return a folder of enough pictures for two files of codes, one picture of which is damaged."""
    raw = [(photos / f"{i:02}.png").read_bytes() for i in range(N_IMAGES - 1)]
    for i in range(N_IMAGES, N_MORE):
        (photos / f"{i}.png").write_bytes(raw[i % len(raw)])
    (photos / "03.png").write_bytes(b"no image")
    return photos


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_processes_and_a_cluster_write_the_same_files(
    run: Run, more_photos: Path, image_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NETWORKS), os.environ.get("PYTHONPATH", "")]))
    one = run("encode", more_photos, "-m", image_model, "-o", tmp_path / "one")
    assert one.status == 0 and f"holds {N_MORE - 1} in 2 files" in one.out
    two = run("encode", more_photos, "-m", image_model, "-o", tmp_path / "two", "--workers", 2)
    ray = run("encode", more_photos, "-m", image_model, "-o", tmp_path / "ray", "--ray", "local")
    assert two.err == ray.err == one.err and one.err.startswith("skipped 1:\n")
    assert (two.status, ray.status) == (0, 0)
    assert files(tmp_path / "two") == files(tmp_path / "ray") == files(tmp_path / "one")
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_what_ray_refuses(
    run: Run, photos: Path, image_model: Path, matrix: Path, matrix_model: Path, tmp_path: Path
) -> None:
    def refusal(*arguments: object) -> str:
        result = run("encode", *arguments, "-o", tmp_path / "codes")
        assert result.status == 2 and result.out == "" and result.err.count("\n") == 1, result
        return result.err

    assert "leave --ray out" in refusal(matrix, "-m", matrix_model, "--ray", "local")
    assert "give one of them" in refusal(photos, "-m", image_model, "--ray", "local", "--workers", 2)
    pytest.importorskip("ray")
    unreachable = "cannot reach the Ray cluster 127.0.0.1:1: "
    assert unreachable in refusal(photos, "-m", image_model, "--ray", "127.0.0.1:1")
