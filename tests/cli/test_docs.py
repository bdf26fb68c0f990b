"""The examples in the README, in docs/ and in docstrings run as written; those of one page run in order.

Blocks marked `python` run, and so does every `gannet` command in blocks marked `sh`, which contain nothing else. Blocks
marked `console` do not run: they wait for a person, need a download or a data set, or are not commands of Gannet.
Commands run on small random data, with a small network and few steps.
"""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gannet import backbones
from gannet.data import is_matrix
from gannet.hashers import get_hasher, method_for
from gannet.hashers.settings import defaults

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src" / "gannet"
GUIDES = [*sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "results").glob("*.md"))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *GUIDES]
RUN, READ = ("python", "sh"), ("console", "toml", "")
QUICK = {"n_steps": 5, "n_contrast_steps": 5, "n_epochs": 1, "batch_size": 8, "n_views": 2}


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the mark and the text of each fenced block of a page."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each command in a block, without comments and with ``~`` expanded."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(re.sub(r"(^|\s)#.*", "", line))  # shlex would also cut a.npy#3 at its #
        if words:
            yield [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]


def quick(words: list[str]) -> list[str]:
    """Return a command with settings for few steps, if its methods have them; the last value of a setting counts."""
    if words[0] not in ("fit", "bench"):
        return words
    if words[0] == "fit":
        goal = words[words.index("--goal") + 1] if "--goal" in words else None
        images, trains = not is_matrix(words[1]), "--train-backbone" in words
        option, default = "--method", method_for(goal, images=images, train_backbone=trains)
    else:
        option, default = "--methods", "itq,uhga"
    methods = words[words.index(option) + 1] if option in words else default
    known = set().union(*(defaults(get_hasher(name)) for name in methods.split(",")))
    settings = {key: value for key, value in QUICK.items() if key in known}
    if "--train-backbone" in words:
        settings["warm_up"] = 5
    return [*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """Make a home folder with the files that the examples use, and change to it."""
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
        save(f"labeled/{'cats' if i % 2 else 'dogs'}/{i}.jpg")
    for name in ("query.jpg", "holiday.jpg"):
        save(name)
    vectors = random.normal(size=(300, 128)).astype(np.float32)
    np.save(tmp_path / "embeddings.npy", vectors)
    np.save(tmp_path / "new.npy", vectors[:5] + 1)
    if request.node.callspec.params.get("page") == ROOT / "docs" / "embeddings.md":
        (tmp_path / "names.txt").write_text("".join(f"{row}.jpg\n" for row in range(300)))
        save_table(tmp_path / "photos.parquet", vectors)
    if request.node.callspec.params.get("page") == ROOT / "docs" / "networks.md":
        save_networks(tmp_path / "networks")
    return tmp_path


def save_table(path: Path, vectors: np.ndarray) -> None:
    """Save features in columns f0, f1, ..., beside a column of names and one that holds no features."""
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    columns = {"image_path": [f"{row}.jpg" for row in range(len(vectors))], "width": range(len(vectors))}
    pq.write_table(pa.table({**columns, **{f"f{i}": vectors[:, i] for i in range(64)}}), path)


def save_networks(folder: Path) -> None:
    """Save a small network of each library."""
    import tiny_networks

    folder.mkdir()
    tiny_networks.timm_folder(folder / "timm")
    tiny_networks.open_clip_folder(folder / "open_clip", n_features=64)
    tiny_networks.hf_folder(folder / "vit")
    tiny_networks.onnx_file(folder / "network.onnx", n_features=64)


@pytest.fixture
def network(tiny: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the small image network as many features as the longest codes in the examples have bits."""
    monkeypatch.setattr(type(backbones.get_backbone("tiny")), "n_features", 64)


@pytest.fixture
def threads() -> Iterator[None]:
    """Restore the number of torch's threads, which an example sets."""
    number = torch.get_num_threads()
    yield
    torch.set_num_threads(number)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_examples_run(page: Path, home: Path, network: None, threads: None, run: Callable) -> None:
    names: dict[str, object] = {"__name__": "example"}  # a reader types the blocks of a page into one session
    for mark, block in blocks(page):
        assert mark in RUN + READ, f"a block of {page.name} is marked {mark}: mark it {' or '.join(RUN + READ[:1])}"
        if mark == "console":
            assert block.startswith("$ "), f"show the commands of a console block behind a $: {block}"
        if mark == "python":
            exec(compile(block, page.name, "exec", dont_inherit=True), names)
        for words in commands(block) if mark == "sh" else ():
            assert words[0] == "gannet", f"{shlex.join(words)!r} is no gannet command: mark its block console"
            result = run(*quick(words[1:]))
            assert result.status in (0, None), f"{shlex.join(words)}: {result.err}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"(?:\]\(|src=\")(?!https?:)([^)#\"]*)", page.read_text("utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_guide_is_listed_in_the_readme() -> None:
    listed = set(re.findall(r"\]\(docs/([\w/-]+\.md)\)", PAGES[0].read_text("utf-8")))
    assert listed == {page.relative_to(ROOT / "docs").as_posix() for page in GUIDES}


def test_examples_are_found() -> None:
    assert {mark for page in PAGES for mark, _ in blocks(page)} >= {"python", "sh", "console"}


def test_the_readme_is_short() -> None:
    assert len(PAGES[0].read_text("utf-8").split()) < 900


def test_the_map_of_folders_equals_their_docstrings() -> None:
    """The README's sentence about each folder is the first of its docstring; the order is that of the layers."""
    given = dict(re.findall(r"^  (\w+)/ +(.+)$", PAGES[0].read_text("utf-8"), re.MULTILINE))
    said = {}
    for file in SOURCES.glob("*/__init__.py"):
        summary = (importlib.import_module(f"gannet.{file.parent.name}").__doc__ or "").partition("\n\n")[0]
        said[file.parent.name] = " ".join(summary.split()).replace("``", "`")
    assert given == said
    (contract,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = re.findall(r"gannet\.(\w+)", " ".join(contract["layers"]))
    assert list(given) == [layer for layer in layers if layer in said]


EXAMPLES = [path for path in sorted(SOURCES.rglob("*.py")) if ">>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.relative_to(SOURCES).as_posix())
def test_examples_in_docstrings_run(path: Path, home: Path) -> None:
    name = ".".join(path.relative_to(SOURCES.parent).with_suffix("").parts).removesuffix(".__init__")
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    result = doctest.testmod(importlib.import_module(name), optionflags=flags)
    assert result.attempted and not result.failed
