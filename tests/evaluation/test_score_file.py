from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gannet.codes import pack
from gannet.errors import GannetError
from gannet.evaluation import evaluate
from gannet.evaluation.score import read_codes_file, score


def contents(n_bits: int = 24) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(n_bits)
    return {
        "query_codes": rng.integers(0, 2, (6, n_bits)),
        "database_codes": rng.integers(0, 2, (90, n_bits)),
        "query_labels": rng.integers(0, 5, 6),
        "database_labels": rng.integers(0, 5, 90),
    }


def save(folder: Path, **arrays: object) -> Path:
    path = folder / "codes.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


@pytest.mark.parametrize("n_bits", [1, 2, 7, 8, 24, 63, 65, 128])
def test_every_form_of_codes_reads_the_same(tmp_path: Path, n_bits: int) -> None:
    arrays = contents(n_bits)
    bits = {name: arrays[name] for name in ("query_codes", "database_codes")}
    forms = [
        bits,
        {name: array.astype(bool) for name, array in bits.items()},
        {name: array.astype(np.uint8) for name, array in bits.items()},
        {name: (2.0 * array - 1).astype(np.float32) for name, array in bits.items()},
        {name: array.astype(np.uint8) for name, array in bits.items()} | {"bits": n_bits},
        {name: pack(array) for name, array in bits.items()} | {"bits": np.array([n_bits])},
    ]
    for form in forms:
        file = read_codes_file(save(tmp_path, **(arrays | form)))
        assert file.n_bits == n_bits
        np.testing.assert_array_equal(file.query_codes, pack(arrays["query_codes"]))
        np.testing.assert_array_equal(file.database_codes, pack(arrays["database_codes"]))


def test_values_of_the_queries_are_optional(tmp_path: Path) -> None:
    arrays = contents()
    values = np.random.default_rng(0).uniform(0.1, 1, (6, 24)) * (2.0 * arrays["query_codes"] - 1)
    path = save(tmp_path, **arrays, query_values=values)
    codes = pack(arrays["query_codes"]), pack(arrays["database_codes"])
    expected = evaluate(*codes, arrays["query_labels"], arrays["database_labels"], 24, query_values=values)
    result = score(path)
    assert result["map_asymmetric"] == expected.map_asymmetric != result["map"] == expected.map
    with pytest.raises(GannetError, match=r"query_values must have shape \(6, 24\)"):
        score(save(tmp_path, **arrays, query_values=values[:, :5]))


def test_score_is_the_evaluation_and_json(tmp_path: Path) -> None:
    arrays = contents()
    result = json.loads(json.dumps(score(save(tmp_path, **arrays), top=20, compat="bihalf")))
    codes = pack(arrays["query_codes"]), pack(arrays["database_codes"])
    expected = evaluate(*codes, arrays["query_labels"], arrays["database_labels"], 24, top=20)
    assert result["map"] == expected.map and result["map_at"] == 20
    assert result["map_worst"] <= result["map"] <= result["map_best"] and result["map_asymmetric"] is None
    assert result["map_min_denominator"] == expected.map_min_denominator
    assert len(result["radius_precision"]) == 25 and result["n_queries"] == 6
    assert result["map_worst"] <= result["compat"]["bihalf"] <= result["map_best"]
    assert any("bihalf" in note for note in result["notes"]) and len(result["notes"]) >= 3


def test_score_without_compat_over_everything(tmp_path: Path) -> None:
    arrays = contents() | {"query_labels": np.array([0, 1, 2, 3, 4, 77])}
    result = score(save(tmp_path, **arrays))
    assert result["map_at"] is None and "compat" not in result and result["n_without_relevant"] == 1
    assert any("1 of 6 queries" in note for note in result["notes"])


def test_several_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = {"query_labels": rng.integers(0, 2, (6, 21)), "database_labels": rng.integers(0, 2, (90, 21))}
    assert 0 < score(save(tmp_path, **(contents() | labels)))["map"] <= 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query_labels": None, "database_codes": None}, "lacks database_codes, query_labels"),
        ({"query_codes": np.zeros((0, 24))}, "query_codes in .* is empty"),
        ({"query_codes": np.zeros(24)}, "query_codes must be a matrix"),
        ({"query_codes": np.zeros((6, 16))}, "16 columns and database_codes 24"),
        ({"bits": 16}, "24 columns do not match bits = 16"),
        ({"bits": -3}, "positive whole number"),
        ({"bits": 2.5}, "positive whole number"),
        ({"query_codes": np.full((6, 24), 3)}, "values from 3 to 3"),
        ({"query_codes": np.full((6, 24), np.nan)}, "values from nan"),
        ({"query_codes": np.full((6, 24), -1)}, "mix -1, 0 and 1"),
        ({"query_codes": np.resize([-1, 0, 1], (6, 24))}, "mix -1, 0 and 1"),
        ({"query_labels": np.zeros(5)}, "query_codes have 6 rows and query_labels 5"),
        ({"query_labels": np.zeros((6, 3))}, "different kinds"),
        ({"query_labels": np.array([{}] * 6)}, "plain arrays"),
    ],
)
def test_bad_files_are_one_line(tmp_path: Path, change: dict, message: str) -> None:
    path = save(tmp_path, **(contents() | change))
    with pytest.raises(GannetError, match=message) as error:
        score(path)
    assert "\n" not in str(error.value)


def test_packed_codes_of_other_bits_are_refused(tmp_path: Path) -> None:
    packed = {name: np.full((n, 3), 255, np.uint8) for name, n in (("query_codes", 6), ("database_codes", 90))}
    with pytest.raises(GannetError, match="bits set after bit 20"):
        score(save(tmp_path, **(contents() | packed), bits=20))
    with pytest.raises(GannetError, match="scalar `bits`"):
        score(save(tmp_path, **(contents() | packed)))


def test_files_that_are_not_archives(tmp_path: Path) -> None:
    with pytest.raises(GannetError, match="does not exist"):
        score(tmp_path / "nothing.npz")
    text = tmp_path / "text.npz"
    text.write_text("codes")
    single = tmp_path / "single.npy"
    np.save(single, np.zeros(3))
    whole = save(tmp_path, **contents()).read_bytes()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(whole[: len(whole) // 2])
    damaged = tmp_path / "damaged.npz"
    damaged.write_bytes(whole[:200] + bytes(50) + whole[250:])
    for path in (text, single, cut, damaged, tmp_path):
        with pytest.raises(GannetError) as error:
            score(path)
        assert "\n" not in str(error.value) and path.name in str(error.value)


def test_unknown_evaluator_is_suggested_before_reading(tmp_path: Path) -> None:
    with pytest.raises(GannetError, match="did you mean 'deephash-pytorch'"):
        score(tmp_path / "nothing.npz", compat="deephash")


def zipped(data: bytes, method: int, flags: int = 0) -> bytes:
    """Return an archive whose members claim another compression method, or flags such as 1 for encryption."""
    changed = bytearray(data)
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = changed.find(mark)
        while start >= 0:
            changed[start + place : start + place + 4] = flags.to_bytes(2, "little") + method.to_bytes(2, "little")
            start = changed.find(mark, start + 1)
    return bytes(changed)


@pytest.mark.parametrize(("method", "flags"), [(0, 1), (8, 0), (9, 0), (12, 0), (14, 0), (93, 0), (99, 1), (0, 32)])
def test_archives_that_cannot_be_read(tmp_path: Path, method: int, flags: int) -> None:
    path = save(tmp_path, **contents())
    path.write_bytes(zipped(path.read_bytes(), method, flags))
    with pytest.raises(GannetError, match=r"cannot be read as an \.npz") as error:
        score(path)
    assert "\n" not in str(error.value)


def test_damaged_files_are_one_line_each(tmp_path: Path) -> None:
    data, random = save(tmp_path, **contents()).read_bytes(), np.random.default_rng(0)
    path = tmp_path / "damaged.npz"
    for _ in range(1500):
        damaged = bytearray(data)
        for place in random.integers(len(data), size=random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged[: random.integers(len(data)) if random.random() < 0.1 else None])
        try:
            score(path)
        except GannetError as error:
            assert "\n" not in str(error)
