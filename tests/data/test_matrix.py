"""Matrices: .npy, .npz and Parquet, the names of their rows, and a message of one line for every unusable file."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.data import MatrixSource, open_row, open_source
from gannet.data.matrix import RowNames
from gannet.errors import GannetError, MissingExtraError

X = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_npy_stays_on_disk(tmp_path):
    path = tmp_path / "m.npy"
    np.save(path, X)
    source = open_source(path)
    assert isinstance(source, MatrixSource) and isinstance(source.features, np.memmap)
    assert np.array_equal(source.features, X) and source.features.dtype == np.float32
    assert source.name == "m.npy" and len(source) == len(source.paths) == 7
    assert source.paths[6] == f"{path}#6"


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i1", "u1", "i4", "i8"])
def test_numeric_types(dtype, tmp_path):
    np.save(tmp_path / "m.npy", np.ones((2, 3), dtype))
    assert open_source(tmp_path / "m.npy").features.dtype == np.dtype(dtype)


@given(st.integers(0, 40), st.integers(-50, 50), st.integers(-50, 50), st.integers(1, 5))
def test_row_names_are_a_sequence(count, start, stop, step):
    lazy, plain = RowNames("m", range(count)), [f"m#{row}" for row in range(count)]
    assert list(lazy) == plain and len(lazy) == count
    assert list(lazy[start:stop:step]) == plain[start:stop:step]
    assert list(reversed(lazy)) == plain[::-1]


def test_many_row_names_cost_nothing():
    rows = RowNames("m", range(10**12))
    assert rows[-1] == "m#999999999999" and rows[10:][5] == "m#15"
    with pytest.raises(IndexError):
        rows[10**12]


@pytest.mark.parametrize("name", ["features", "embeddings", "X"])
def test_npz_by_name(name, tmp_path):
    np.savez(tmp_path / "m.npz", labels=np.zeros(7), **{name: X})
    assert np.array_equal(open_source(tmp_path / "m.npz").features, X)


def test_npz_with_one_array(tmp_path):
    np.savez_compressed(tmp_path / "m.npz", anything=X)
    assert np.array_equal(open_source(tmp_path / "m.npz").features, X)


def test_npz_with_others_names_them(tmp_path):
    np.savez(tmp_path / "m.npz", a=X, b=X)
    with pytest.raises(GannetError, match="holds a, b; name the matrix one of features, embeddings, X"):
        open_source(tmp_path / "m.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(5), "must be \\(items, features\\)"),
        (np.zeros((2, 3, 4)), "must be \\(items, features\\)"),
        (np.zeros((0, 3)), "is empty"),
        (np.zeros((3, 0)), "is empty"),
        (np.array([["a", "b"]]), "<U1 values; save it as float32"),
        (np.zeros((2, 2), complex), "complex128 values"),
        (
            np.array([[1, None]], dtype=object),
            "not a whole NumPy file of numbers: .*allow_pickle|Python objects",
        ),
    ],
)
@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_unfit_arrays(array, message, extension, tmp_path):
    path = tmp_path / f"m.{extension}"
    np.save(path, array) if extension == "npy" else np.savez(path, X=array)
    with pytest.raises(GannetError, match=message):
        open_source(path)


@pytest.mark.parametrize("extension", ["npy", "npz", "parquet"])
@pytest.mark.parametrize(
    "data", [b"", b"\x93NUMPY", b"PK\x03\x04", b"PAR1", b"PAR1" + b"\xff" * 30 + b"PAR1", b"x" * 99]
)
def test_damaged_files(data, extension, tmp_path):
    path = tmp_path / f"m.{extension}"
    path.write_bytes(data)
    with pytest.raises(GannetError, match=r"not a (whole|readable)|damaged") as caught:
        open_source(path)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("extension", ["npy", "npz"])
@given(data=st.data())
def test_truncated_files(data, extension, tmp_path_factory):
    path = tmp_path_factory.mktemp("cut") / f"m.{extension}"
    np.save(path, X) if extension == "npy" else np.savez_compressed(path, X=X)
    whole = path.read_bytes()
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(GannetError):
        open_source(path)


def test_npz_bomb_is_refused(tmp_path):
    import io
    import zipfile

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (1 << 44, 8)})
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as out:
        out.writestr("X.npy", header.getvalue())
    with pytest.raises(GannetError, match="not a whole NumPy file"):
        open_source(tmp_path / "m.npz")


def test_content_counts_where_the_extension_is_wrong(tmp_path):
    np.save(tmp_path / "a.npy", X)
    np.savez(tmp_path / "b.npz", X)
    (tmp_path / "a.npy").rename(tmp_path / "c.npz")
    (tmp_path / "b.npz").rename(tmp_path / "d.npy")
    for name in ("c.npz", "d.npy"):
        assert np.array_equal(open_source(tmp_path / name).features, X)


class TestParquet:
    @pytest.fixture(autouse=True)
    def _pyarrow(self):
        self.pa = pytest.importorskip("pyarrow")
        self.pq = pytest.importorskip("pyarrow.parquet")

    def write(self, file, /, row_group_size=None, **columns):
        self.pq.write_table(self.pa.table(columns), file, row_group_size=row_group_size)
        return open_source(file)

    @pytest.mark.parametrize("kind", ["list", "large_list", "fixed", "half"])
    def test_list_columns(self, kind, tmp_path):
        pa = self.pa
        value = pa.float16() if kind == "half" else pa.float32()
        types = {"large_list": pa.large_list(value), "fixed": pa.list_(value, 3)}
        rows = X.astype(np.float16) if kind == "half" else X
        column = pa.array(list(rows), type=types.get(kind, pa.list_(value)))
        source = self.write(tmp_path / "m.parquet", row_group_size=2, vector=column, label=list(range(7)))
        assert np.array_equal(source.features, rows) and source.features.dtype == rows.dtype
        assert source.paths[3] == f"{tmp_path / 'm.parquet'}#3"

    @pytest.mark.parametrize("name", ["id", "path", "name"])
    def test_item_names(self, name, tmp_path):
        ids = [f"item {row}" for row in range(7)]
        source = self.write(tmp_path / "m.parquet", embeddings=self.pa.array(list(X)), **{name: ids})
        assert list(source.paths) == ids

    def test_numeric_columns(self, tmp_path):
        source = self.write(tmp_path / "m.parquet", id=list("abcdefg"), a=X[:, 0], b=X[:, 1], note=["x"] * 7)
        assert np.array_equal(source.features, X[:, :2]) and list(source.paths) == list("abcdefg")

    def test_numeric_id_is_not_a_feature(self, tmp_path):
        source = self.write(tmp_path / "m.parquet", id=list(range(7)), a=X[:, 0])
        assert source.features.shape == (7, 1)

    def test_several_list_columns(self, tmp_path):
        rows = self.pa.array(list(X))
        assert self.write(tmp_path / "m.parquet", other=rows, features=rows).features.shape == (7, 3)
        with pytest.raises(GannetError, match=r"holds a \(list.*\), b \(list"):
            self.write(tmp_path / "n.parquet", a=rows, b=rows)

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ([[1.0, 2.0], [3.0]], "different lengths"),
            ([[1.0, 2.0], None], "missing values"),
            ([[1.0, 2.0], [3.0, None]], "missing values"),
            ([1.0, None], "missing values"),
            (["a", "b"], "holds v \\(string\\)"),
            ([[], []], "is empty"),
        ],
    )
    def test_unfit_columns(self, values, message, tmp_path):
        column = self.pa.array(values, type=self.pa.list_(self.pa.float32()) if values == [[], []] else None)
        with pytest.raises(GannetError, match=message):
            self.write(tmp_path / "m.parquet", v=column)

    def test_no_rows(self, tmp_path):
        column = self.pa.array([], type=self.pa.list_(self.pa.float32()))
        with pytest.raises(GannetError, match="is empty"):
            self.write(tmp_path / "m.parquet", v=column)

    def test_row_by_name(self, tmp_path):
        self.write(tmp_path / "m.parquet", v=self.pa.array(list(X)))
        assert np.array_equal(open_row(f"{tmp_path / 'm.parquet'}#4"), X[4:5])


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    (tmp_path / "m.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"gannet-hash\[parquet\]"):
        open_source(tmp_path / "m.parquet")


def test_open_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("m.npy", X)
    row = open_row("m.npy#5")
    assert np.array_equal(row, X[5:6]) and not isinstance(row, np.memmap)
    for text in ("m.npy", "cat.png", "m.npy#x", "a.zip!b.png", "set#test/3", "#3", ""):
        assert open_row(text) is None
    with pytest.raises(GannetError, match="has no row 7; its rows are 0 to 6"):
        open_row("m.npy#7")
    with pytest.raises(GannetError, match=r"no such file: n\.npy"):
        open_row("n.npy#0")
