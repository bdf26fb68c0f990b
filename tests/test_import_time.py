"""Searching imports no library that only learning needs: no torch, scikit-learn, numba or OpenVINO."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gannet.collection import Collection
from gannet.encoders import Linear
from gannet.model import Model

N = 100_000
HEAVY = ["torch", "sklearn", "numba", "openvino", "scipy", "pyarrow"]

SEARCH = f"""
import sys
from gannet.cli import main
try:
    main()
except SystemExit as end:
    sys.stderr.write(" ".join(name for name in {HEAVY} if name in sys.modules))
    raise
"""


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100,000 random codes of 64 bits, with a model of vectors."""
    path = tmp_path_factory.mktemp("large") / "large.gannet"
    random = np.random.default_rng(0)
    arrays = [random.standard_normal(shape).astype(np.float32) for shape in ((32,), (32, 64), (64,))]
    codes = random.integers(0, 256, (N, 8), dtype=np.uint8)
    with Collection.create(path, Model(Linear(*arrays), "lsh")) as made:
        made.add(codes, [f"photos/{i}.jpg" for i in range(N)])
    np.save(path.with_name("vectors.npy"), random.standard_normal((3, 32)))
    return path


def search(collection: Path, query: str) -> list:
    command = [sys.executable, "-c", SEARCH, "search", str(collection), query, "--json"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stderr == ""
    return json.loads(result.stdout)[0]["results"]


def test_search_by_id(collection: Path) -> None:
    results = search(collection, "777")
    assert results[0] == {"id": 777, "path": "photos/777.jpg", "distance": 0} and len(results) == 10


def test_search_by_a_row_of_a_matrix(collection: Path) -> None:
    results = search(collection, f"{collection.with_name('vectors.npy')}#2")
    assert len(results) == 10
    scores = [item["score"] for item in results]
    assert scores == sorted(scores, reverse=True) and all(0 < item["distance"] < 32 for item in results)


def test_importing_the_package_imports_next_to_nothing() -> None:
    code = "import gannet, sys; print(sorted({'numpy', 'torch', 'sklearn', 'click', 'PIL'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
