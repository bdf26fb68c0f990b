"""The official CIFAR-10: pickles of Python 2 and 3 are read, and nothing in them is run."""

import io
import pickle
import pickletools
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.data import open_source, read_item
from gannet.data.sources._plain_pickle import read_plain_pickle
from gannet.data.sources.cifar10_batches import CIFAR10_CLASSES
from gannet.errors import GannetError

FOLDER = "cifar-10-batches-py"
NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def batch(seed, n=3):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
    return pixels, rng.integers(0, 10, n).tolist()


def python3_batch(pixels, labels, protocol=2):
    names = [b"a\xff.png"] * len(labels)
    return pickle.dumps({b"batch_label": b"x", b"labels": labels, b"data": pixels, b"filenames": names}, protocol)


def python2_batch(pixels, labels):
    """Return a batch in the opcodes of the official archive, which Python 2 wrote: BINSTRING, and NumPy 1 modules."""

    def text(value):
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
        + b"(K\x01" + b"M" + struct.pack("<H", len(labels)) + b"M\x00\x0c\x86"
        + b"cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T" + struct.pack("<I", pixels.size) + pixels.tobytes() + b"tb"
    )  # fmt: skip
    numbers = b"".join(b"K" + bytes([label]) for label in labels)
    return (
        b"\x80\x02}q\x01(" + text(b"batch_label") + b"q\x02" + text(b"training batch 1 of 5") + b"q\x03"
        + text(b"labels") + b"q\x04]q\x05(" + numbers + b"e" + text(b"data") + b"q\x06" + array
        + text(b"filenames") + b"q\x0c]q\r(" + b"".join(text(b"x.png") for _ in labels) + b"eu."
    )  # fmt: skip


def write_folder(root, writer=python3_batch):
    (root / FOLDER).mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        (root / FOLDER / name).write_bytes(writer(*batch(seed)))
    return root / FOLDER


def write_tar(root, mode="w:gz", names=NAMES):
    path = root / "cifar-10-python.tar.gz"
    with tarfile.open(path, mode) as out:
        for name in reversed(names):
            data = python2_batch(*batch(NAMES.index(name)))
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    return path


def test_the_python2_batch_is_a_true_pickle():
    pixels, labels = batch(0)
    raw = python2_batch(pixels, labels)
    value = pickle.loads(raw, encoding="bytes")
    assert np.array_equal(value[b"data"], pixels) and value[b"labels"] == labels
    assert {"BINSTRING", "SHORT_BINSTRING"} <= {opcode.name for opcode, _, _ in pickletools.genops(raw)}


@pytest.mark.parametrize("writer", [python2_batch, python3_batch])
@pytest.mark.parametrize("below", [False, True])
def test_folder(writer, below, tmp_path):
    folder = write_folder(tmp_path, writer)
    source = open_source(folder if below else tmp_path)
    assert len(source) == 18 and source.name == "cifar10"
    assert source.class_names == CIFAR10_CLASSES
    assert source.labels.tolist() == [label for seed in range(6) for label in batch(seed)[1]]
    assert source.is_test.tolist() == [False] * 15 + [True] * 3
    assert source.paths[0] == f"{folder}#train/0" and source.paths[-1] == f"{folder}#test/2"
    for index in (0, 4, 17):
        wanted = batch(index // 3)[0][index % 3].reshape(3, 32, 32).transpose(1, 2, 0)
        assert np.array_equal(source.read(index), wanted)
        assert np.array_equal(read_item(source.paths[index]), wanted)


@pytest.mark.parametrize("mode", ["w:gz", "w"])
def test_archive(mode, tmp_path):
    path = write_tar(tmp_path, mode)
    source = open_source(path)
    assert len(source) == 18
    wanted = batch(5)[0][1].reshape(3, 32, 32).transpose(1, 2, 0)
    assert np.array_equal(read_item(f"{path}#test/1"), wanted)
    with pytest.raises(GannetError, match="no such picture"):
        read_item(f"{path}#test/3")


def test_fortran_order(tmp_path):
    value = {b"data": np.asfortranarray(batch(0)[0])}
    assert np.array_equal(read_plain_pickle(pickle.dumps(value, 2), "x")[b"data"], batch(0)[0])


def test_missing_batches_are_named(tmp_path):
    with pytest.raises(GannetError, match=r"not a complete CIFAR-10: it lacks data_batch_2, test_batch"):
        open_source(write_tar(tmp_path, names=[name for name in NAMES if name not in ("data_batch_2", "test_batch")]))
    folder = write_folder(tmp_path)
    (folder / "data_batch_3").unlink()
    with pytest.raises(GannetError, match="lacks data_batch_3"):
        open_source(folder)


def test_truncated_archive(tmp_path):
    path = write_tar(tmp_path)
    data = path.read_bytes()
    for length in (0, 10, len(data) // 2, len(data) - 100):
        path.write_bytes(data[:length])
        with pytest.raises(GannetError) as caught:
            open_source(path)
        assert len(str(caught.value).splitlines()) == 1


def test_another_archive(tmp_path):
    path = tmp_path / "x.tgz"
    with tarfile.open(path, "w:gz") as out:
        out.addfile(tarfile.TarInfo("readme"))
    with pytest.raises(GannetError, match="not a complete CIFAR-10"):
        open_source(path)


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_in_a_pickle_is_run(protocol, tmp_path):
    import os

    folder = write_folder(tmp_path)
    mark = tmp_path / "run"
    (folder / "test_batch").write_bytes(pickle.dumps(Evil(os.mkdir, str(mark)), protocol))
    with pytest.raises(GannetError, match=r"test_batch is (refused|damaged)"):
        open_source(folder)
    assert not mark.exists()


@pytest.mark.parametrize(
    "raw",
    [
        b"\x80\x02cos\nsystem\n(U\x04truetR.",
        b"\x80\x02cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.",
        b"\x80\x02cnumpy\nndarray\n(K\x01tR.",
        b"\x80\x02c__builtin__\neval\nq\x01.",
        b"\x80\x02cnumpy\nndarray\n.",
        b"\x80\x02}(i__builtin__\neval\n.",
        b"\x80\x02U\x01xQ.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    ],
)
def test_other_instructions_are_refused(raw):
    with pytest.raises(GannetError, match=r"x is refused: it holds .*, not plain data"):
        read_plain_pickle(raw, "x")


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_random_streams_raise_nothing_else(raw):
    for stream in (raw, b"\x80\x02" + raw + b"."):
        try:
            read_plain_pickle(stream, "x")
        except GannetError as error:
            assert len(str(error).splitlines()) == 1


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_values_come_back(value):
    # Protocol 2 has no empty byte string: Python 3 writes a call of `bytes`, which the batches never hold.
    raw = pickle.dumps(value, 2)
    if b"__builtin__\nbytes" not in raw:
        assert read_plain_pickle(raw, "x") == value


@pytest.mark.parametrize(
    "value",
    [
        [1, 2],
        {},
        {b"data": np.zeros((2, 5), np.uint8), b"labels": [0, 1]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 10]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": ["cat", "dog"]},
        {b"data": [[0] * 3072], b"labels": [0]},
    ],
)
def test_another_content(value, tmp_path):
    folder = write_folder(tmp_path)
    (folder / "data_batch_1").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(GannetError, match="data_batch_1 is not a CIFAR-10 batch"):
        open_source(folder)
