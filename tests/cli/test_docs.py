"""The examples of the README and of docs/ run as they are written, a page's one after the other.

Blocks marked `python` run. So does every `gannet` command of blocks marked `sh`, which hold nothing else. Blocks marked
`console` are for reading: what waits for a person, needs a download or a data set, or is no command of Gannet.
Commands run on small made-up data, with a small network and few steps.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet import backbones
from gannet.hashers import get_hasher
from gannet.hashers.settings import defaults

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
RUN, READ = ("python", "sh"), ("console", "")
QUICK = {"n_steps": 5, "n_contrast_steps": 5, "n_epochs": 1, "batch_size": 8, "n_views": 2}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the fenced blocks of a page as mark and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each command of a block, without comments, with ``~`` expanded."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"(^|\s)#.*", "", line))  # to shlex, the # in a.npy#3 begins a comment too
        if words:
            yield [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]


def quick(words: list[str]) -> list[str]:
    """Return a command with few steps set, where its methods have them; what comes last counts."""
    if words[0] not in ("fit", "bench"):
        return words
    option, default = ("--method", "uhga") if words[0] == "fit" else ("--methods", "itq,uhga")
    methods = words[words.index(option) + 1] if option in words else default
    known = set().union(*(defaults(get_hasher(name)) for name in methods.split(",")))
    settings = {key: value for key, value in QUICK.items() if key in known}
    if "--train-backbone" in words:
        settings["warm_up"] = 5
    return [*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder that is the working directory, with what the examples speak of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    random = np.random.default_rng(0)

    def save(name: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((48, 48)).save(path)

    for i in range(80):
        save(f"photos/{i}.jpg")
        save(f"Pictures/{2025 + i % 2}/{i}.jpg")
        save(f"labelled/{'cats' if i % 2 else 'dogs'}/{i}.jpg")
    for name in ("query.jpg", "holiday.jpg"):
        save(name)
    vectors = random.normal(size=(300, 48)).astype(np.float32)
    np.save(tmp_path / "embeddings.npy", vectors)
    np.save(tmp_path / "new.npy", vectors[:5] + 1)
    return tmp_path


@pytest.fixture
def network(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small image network whose features are as many as the longest codes of the examples have bits."""
    monkeypatch.setattr(type(backbones.get_backbone("tiny")), "n_features", 64)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page: Path, home: Path, network: None, run: Callable) -> None:
    for mark, block in blocks(page):
        assert mark in RUN + READ, f"a block of {page.name} is marked {mark}: mark it {' or '.join(RUN + READ[:1])}"
        if mark == "console":
            assert block.startswith("$ "), f"show the commands of a console block behind a $: {block}"
        if mark == "python":
            exec(compile(block, page.name, "exec"), {"__name__": "example"})
        for words in commands(block) if mark == "sh" else ():
            assert words[0] == "gannet", f"{shlex.join(words)!r} is no gannet command: mark its block console"
            result = run(*quick(words[1:]))
            assert result.status in (0, None), f"{shlex.join(words)}: {result.err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"(?:\]\(|src=\")(?!https?:)([^)#\"]*)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_guide_is_listed_in_the_readme() -> None:
    listed = set(re.findall(r"\]\(docs/(\w[\w-]*\.md)\)", PAGES[0].read_text("utf-8")))
    assert listed == {page.name for page in PAGES[1:]}


def test_examples_are_found() -> None:
    assert {mark for page in PAGES for mark, _ in blocks(page)} >= {"python", "sh", "console"}
