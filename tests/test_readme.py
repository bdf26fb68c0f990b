"""The Python examples of the README and the docs run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
EXAMPLES = [
    pytest.param(code, id=f"{file.name}-{number}")
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, code in enumerate(re.findall(r"```python\n(.*?)```", file.read_text("utf-8"), re.DOTALL))
]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``photos`` and a file ``query.jpg`` in the working directory, as the examples expect."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(80):
        pixels = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 48)).save(tmp_path / "photos" / f"{i}.jpg")
    Image.fromarray(pixels).resize((64, 48)).save(tmp_path / "query.jpg")
    return tmp_path


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code: str, photos: Path) -> None:
    exec(compile(code, "example", "exec"), {"__name__": "example"})
