"""Matrices: .npy, .npz and Parquet, the names of their rows, and a message of one line for every unusable file."""

import json
import sys
import uuid

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


@pytest.mark.parametrize("name", ["names", "ids", "paths", "id", "image_path"])
@pytest.mark.parametrize("names", [list("abcdefg"), np.arange(7)])
def test_npz_with_names(name, names, tmp_path):
    np.savez(tmp_path / "m.npz", anything=X, **{name: names})
    source = open_source(tmp_path / "m.npz")
    assert np.array_equal(source.features, X) and list(source.paths) == [str(value) for value in names]
    assert source.notes == [f"features: array anything; names: array {name}"]


def test_arrays_of_an_npz_can_be_chosen(tmp_path):
    np.savez(tmp_path / "m.npz", a=X, b=2 * X, titles=np.array(list("abcdefg")), short=np.array(["x"]))
    source = open_source(tmp_path / "m.npz", features="b", names="titles")
    assert np.array_equal(source.features, 2 * X) and source.paths[3] == "d"
    with pytest.raises(GannetError, match="name one of these with --features"):
        open_source(tmp_path / "m.npz", features="c")
    with pytest.raises(GannetError, match="7 rows, but 1 names"):
        open_source(tmp_path / "m.npz", features="b", names="short")
    with pytest.raises(GannetError, match="holds no names"):
        open_source(tmp_path / "m.npz", features="b", names="a")


def test_a_file_of_names(tmp_path):
    np.save(tmp_path / "m.npy", X)
    names = [f"photo {row}.jpg" for row in range(7)]
    (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
    np.save(tmp_path / "names.npy", names)
    for file in ("names.txt", "names.npy"):
        assert list(open_source(tmp_path / "m.npy", names=tmp_path / file).paths) == names
    (tmp_path / "names.txt").write_text("\n".join(names[:5]))
    with pytest.raises(GannetError, match="7 rows, but 5 names"):
        open_source(tmp_path / "m.npy", names=tmp_path / "names.txt")
    (tmp_path / "names.txt").write_text("a\n\nc\nd\ne\nf\ng")
    with pytest.raises(GannetError, match=r"missing \(first in row 1\)"):
        open_source(tmp_path / "m.npy", names=tmp_path / "names.txt")
    with pytest.raises(GannetError, match="leave --features out"):
        open_source(tmp_path / "m.npy", features="a")


@pytest.mark.parametrize("extension", ["npy", "npz"])
def test_rows_with_nan_can_be_skipped(extension, tmp_path):
    damaged = X.copy()
    damaged[1, 2], damaged[4, 0] = np.nan, np.inf
    path = tmp_path / f"m.{extension}"
    np.save(path, damaged) if extension == "npy" else np.savez(path, X=damaged)
    source = open_source(path, skip_nan=True)
    assert np.array_equal(source.features, X[[0, 2, 3, 5, 6]])
    assert list(source.paths) == [f"{path}#{row}" for row in (0, 2, 3, 5, 6)]
    assert source.notes == [f"skipped 2 rows with NaN, infinity or missing values: {path}"]
    assert len(open_source(path)) == 7
    np.save(tmp_path / "n.npy", damaged[[1, 4]])
    with pytest.raises(GannetError, match="skipped 2 rows"):
        open_source(tmp_path / "n.npy", skip_nan=True)


def test_options_that_do_not_concern_a_source_are_refused(tmp_path):
    np.save(tmp_path / "m.npy", X)
    with pytest.raises(GannetError, match=r"is a matrix .*: leave --exclude, --truncated out"):
        open_source(tmp_path / "m.npy", exclude="*.tmp", truncated=True)
    with pytest.raises(GannetError, match="leave --features, --names, --skip-nan out"):
        open_source("sklearn-digits", features="a", names="b", skip_nan=True)


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

    def test_names_of_any_type(self, tmp_path):
        pa, names = self.pa, list("abcdefg")
        ids = [uuid.uuid4() for _ in names]
        kinds = {
            "name": (pa.array([name.encode() for name in names]), names),
            "img_path": (pa.array(names, pa.large_binary()), names),
            "photo_id": (pa.array(np.arange(7.0)), list("0123456")),
            "uid": (pa.array([one.bytes for one in ids], pa.binary(16)).cast(pa.uuid()), list(map(str, ids))),
        }
        for column, (values, expected) in kinds.items():
            source = self.write(tmp_path / "m.parquet", v=list(X), **{column: values})
            assert list(source.paths) == expected
            assert source.notes == [f"3 features: v; names: {column}"]

    def test_columns_that_are_not_taken_are_named(self, tmp_path):
        source = self.write(tmp_path / "m.parquet", v=list(X), title=list("abcdefg"), width=np.arange(7))
        assert source.notes == ["3 features: v; not taken: title, width"]
        with pytest.raises(GannetError, match="did you mean 'title'"):
            open_source(tmp_path / "m.parquet", names="titel")

    def test_columns_unlike_most_others_are_doubtful(self, tmp_path):
        features = {f"v_{letter}": X[:, 0].astype(np.float32) for letter in "abcdefgh"}
        assert self.write(tmp_path / "m.parquet", **features).features.shape == (7, 8)
        for other in ({"sharpness": X[:, 1].astype(np.float32)}, {"v_i": X[:, 1].astype(np.float64)}):
            with pytest.raises(GannetError, match=f"{next(iter(other))} may be no features"):
                self.write(tmp_path / "m.parquet", **features, **other)

    def test_the_pattern_in_the_advice_leaves_doubtful_columns_out(self, tmp_path):
        features = {f"f{i}": X[:, i % 3] for i in range(8)}
        for other, pattern in (("file_size", r"f\[0-9\]\*"), ("label", r"f\*")):
            with pytest.raises(GannetError, match=f"{other} may be no features: .*--features '{pattern}'"):
                self.write(tmp_path / "m.parquet", **features, **{other: X[:, 0]})

    def test_the_index_of_a_pandas_frame_is_not_a_feature(self, tmp_path):
        pa, columns = self.pa, {f"f{i}": X[:, i] for i in range(3)}
        for index in ({}, {"key": list("abcdefg")}, {"__index_level_0__": np.arange(7)[::-1]}, {"when": X[:, 0]}):
            meta = {b"pandas": json.dumps({"index_columns": list(index) or [{"kind": "range"}]}).encode()}
            self.pq.write_table(pa.table(columns | index).replace_schema_metadata(meta), tmp_path / "m.parquet")
            source = open_source(tmp_path / "m.parquet")
            assert np.array_equal(source.features, X)
            assert source.notes[0].startswith("3 features: f0 … f2")
            assert source.paths[0] == ("a" if "key" in index else f"{tmp_path / 'm.parquet'}#0")

    @pytest.mark.parametrize(
        "other",
        ["label", "width", "year", "user_id", "timestamp", "imageHeight", "cluster", "anything"],
    )
    @pytest.mark.parametrize("dtype", [np.int64, np.float64])
    def test_doubtful_mixtures_are_refused(self, other, dtype, tmp_path):
        path, columns = tmp_path / "m.parquet", {f"f{i}": X[:, i] for i in range(3)}
        with pytest.raises(GannetError, match=rf"{other} may be no features: .*--features 'f0,f1,f2'.*--names"):
            self.write(path, **columns, **{other: np.arange(7, dtype=dtype)})
        for choice in ("f*", "f0,f1,f2", ["f0", "f1", "f2"]):
            source = open_source(path, features=choice, names=other)
            assert np.array_equal(source.features, X) and source.paths[1] in ("1", "1.0")
        assert open_source(path, features="*").features.shape == (7, 4)

    @pytest.mark.parametrize("names", [("a", "label"), ("year", "b"), ("n_rows", "rank")])
    def test_columns_named_after_something_else_are_refused(self, names, tmp_path):
        with pytest.raises(GannetError, match="--features"):
            self.write(tmp_path / "m.parquet", **dict.fromkeys(names, X[:, 0]))

    def test_integers_beside_floats_are_refused(self, tmp_path):
        with pytest.raises(GannetError, match="b may be no features"):
            self.write(tmp_path / "m.parquet", a=X[:, 0], b=list(range(7)))

    def test_a_vector_beside_numbered_columns_is_refused(self, tmp_path):
        with pytest.raises(GannetError, match="--features"):
            self.write(tmp_path / "m.parquet", bbox=self.pa.array(list(X)), f0=X[:, 0], f1=X[:, 1])
        assert open_source(tmp_path / "m.parquet", features="bbox").features.shape == (7, 3)

    def test_wrong_choices_are_named(self, tmp_path):
        self.write(
            tmp_path / "m.parquet",
            v=self.pa.array(list(X)),
            w=self.pa.array(list(X)),
            features=self.pa.array(list(X)),
            t=["x"] * 7,
        )
        for choice, message in (("nothing", "no column nothing"), ("v,w", "choose one column"), ("t", "string values")):
            with pytest.raises(GannetError, match=message):
                open_source(tmp_path / "m.parquet", features=choice)
        with pytest.raises(GannetError, match="--names gone is neither a column"):
            open_source(tmp_path / "m.parquet", names="gone")
        with pytest.raises(GannetError, match="several columns of one name"):
            self.pq.write_table(self.pa.table([X[:, 0], X[:, 0]], names=["a", "a"]), tmp_path / "n.parquet")
            open_source(tmp_path / "n.parquet")

    @pytest.mark.parametrize("name", ["ID", "image_path", "file_name", "Filename", "Image ID", "file path", "url"])
    def test_other_columns_of_names(self, name, tmp_path):
        source = self.write(tmp_path / "m.parquet", v=self.pa.array(list(X)), **{name: list("abcdefg")})
        assert list(source.paths) == list("abcdefg") and source.notes == [f"3 features: v; names: {name}"]

    @pytest.mark.parametrize("kind", ["dictionary", "large_string", "string_view", "int64", "uint8"])
    def test_names_of_other_types(self, kind, tmp_path):
        pa, names = self.pa, [str(row) for row in range(7)]
        array = pa.array(names).dictionary_encode() if kind == "dictionary" else pa.array(names).cast(kind)
        source = self.write(tmp_path / "m.parquet", v=pa.array(list(X)), id=array)
        assert list(source.paths) == names

    @pytest.mark.parametrize("missing", [None, ""])
    def test_missing_names_are_refused(self, missing, tmp_path):
        names = [missing, *"bcdef", missing]
        with pytest.raises(GannetError, match=r"2 of the names in column id are missing \(first in row 0\).*--names"):
            self.write(tmp_path / "m.parquet", v=self.pa.array(list(X)), id=names)

    def test_rows_with_nan_are_skipped_and_counted(self, tmp_path):
        pa = self.pa
        rows = [[1.0, 2.0], None, [3.0, None], [float("nan"), 1.0], [4.0, 5.0]]
        columns = [
            {"v": pa.array(rows, pa.list_(pa.float32()))},
            {"v": pa.array([row and [row[0], row[1] or float("inf")] for row in rows], pa.list_(pa.float32(), 2))},
            {f"f{i}": pa.array([row and row[i] for row in rows], pa.float64()) for i in range(2)},
        ]
        for column in columns:
            self.pq.write_table(pa.table(column | {"id": list("abcde")}), tmp_path / "m.parquet")
            source = open_source(tmp_path / "m.parquet", skip_nan=True)
            assert source.features.tolist() == [[1, 2], [4, 5]] and list(source.paths) == ["a", "e"]
            assert "skipped 3 rows with NaN" in source.notes[-1]

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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_files_of_names(encoding, end, tmp_path):
    np.save(tmp_path / "m.npy", X)
    names = ["ä b", "c\x0bd", "e\u2028f", "g", "h", "i", "j"]
    (tmp_path / "names.txt").write_bytes("".join(name + end for name in names).encode(encoding))
    assert list(open_source(tmp_path / "m.npy", names=tmp_path / "names.txt").paths) == names


def test_arrays_that_are_not_taken_are_named(tmp_path):
    np.savez(tmp_path / "m.npz", X=X, who=np.array(list("abcdefg")))
    assert open_source(tmp_path / "m.npz").notes == ["features: array X; not taken: who"]
    assert open_source(tmp_path / "m.npz", names="who").paths[1] == "b"
