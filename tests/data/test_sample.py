"""Random samples of sources: which rows are read, and how items are held out."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.data import MatrixSource, Sample, is_matrix, open_source
from gannet.data.sample import n_held_out, split
from gannet.errors import GannetError


@given(st.integers(1, 20_000), st.integers(1, 10**6), st.integers(0, 2**32 - 1))
def test_a_sample_holds_as_many_to_learn_from_as_asked(size: int, n_items: int, seed: int) -> None:
    rows = Sample(size, seed).rows(n_items)
    if rows is None:
        assert n_items <= size + size // 10
        return
    assert (np.diff(rows) > 0).all() and rows[0] >= 0 and rows[-1] < n_items
    n_held = n_held_out(len(rows))
    assert len(rows) - n_held == size or (n_held == 0 and len(rows) < 100)


def test_held_out_items_are_the_rest() -> None:
    source = MatrixSource("m", np.arange(300.0).reshape(150, 2))
    first, held = split(source, n_held_out(150), seed=3)
    assert (len(first), len(held)) == (137, 13)
    names = sorted([*first.paths, *held.paths], key=lambda name: int(name[2:]))
    assert names == list(source.paths)
    for part in (first, held):
        assert all(f"m#{int(row[0]) // 2}" == name for row, name in zip(part.features, part.paths, strict=True))
    again = split(source, n_held_out(150), seed=3)[1]
    assert list(again.paths) == list(held.paths)


def _write(folder: Path, form: str, rows: np.ndarray) -> str:
    if form == "npy":
        np.save(folder / "m.npy", rows)
        return str(folder / "m.npy")
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")

    def table(part: np.ndarray, first: int) -> None:
        columns = {"id": [f"item-{first + i}" for i in range(len(part))], "features": list(part)}
        name = "m.parquet" if form == "parquet" else f"m_{first}.parquet"
        pq.write_table(pa.table(columns), folder / name, row_group_size=100)

    if form == "parquet":
        table(rows, 0)
        return str(folder / "m.parquet")
    for first in range(0, len(rows), 300):
        part = rows[first : first + 300]
        if form == "npy-parts":
            np.save(folder / f"m_{first}.npy", part)
        else:
            table(part, first)
    return str(folder)


@pytest.mark.parametrize("form", ["npy", "parquet", "npy-parts", "parquet-parts"])
def test_only_rows_of_the_sample_are_read(form: str, tmp_path: Path) -> None:
    rows = np.repeat(np.arange(1000, dtype=np.float32)[:, None], 3, axis=1)
    path = _write(tmp_path, form, rows)
    sample = Sample(200, seed=1)
    source = open_source(path, sample=sample)
    assert isinstance(source, MatrixSource) and is_matrix(path)
    np.testing.assert_array_equal(source.features, rows[sample.rows(1000)])
    assert (source.total, len(source)) == (1000, 220)
    if form in ("npy", "parquet"):
        wanted = "item-{}" if form == "parquet" else f"{path}#{{}}"
        assert list(source.paths) == [wanted.format(row) for row in sample.rows(1000)]
    whole = open_source(path, sample=Sample(950, seed=1))
    assert len(whole) == whole.total == 1000


def test_rows_with_nan_are_left_out_of_the_sample_and_counted(tmp_path: Path) -> None:
    rows = np.ones((1000, 2), np.float32)
    rows[::2, 1] = np.nan
    np.save(tmp_path / "m.npy", rows)
    sample = Sample(100, seed=0)
    source = open_source(tmp_path / "m.npy", sample=sample, skip_nan=True)
    n_bad = int((sample.rows(1000) % 2 == 0).sum())
    assert len(source) == 110 - n_bad and source.total == 1000
    assert f"skipped {n_bad} rows" in source.notes[0]


def test_names_in_a_file_must_match_all_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((1000, 2), np.float32))
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(GannetError, match="1,000 rows, but 2 names"):
        open_source(tmp_path / "m.npy", names=tmp_path / "names.txt", sample=Sample(100, seed=0))
