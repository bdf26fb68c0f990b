"""Labeled data sets: class folders, IDX files, digits, and how a data set is found on this computer."""

import gzip
import io
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.data import decode, get_dataset, open_source, public_dataset, read_item
from gannet.data.class_folders import load_class_folders
from gannet.data.datasets import fashion_mnist, find_dataset
from gannet.data.datasets.cifar10 import Cifar10
from gannet.data.datasets.fashion_mnist import FASHION_MNIST_CLASSES, FashionMnist
from gannet.data.sources.cifar10_batches import CIFAR10_CLASSES
from gannet.errors import GannetError


def picture(value=0):
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (value, 0, 0)).save(out, "PNG")
    return out.getvalue()


def write_files(root, names):
    for value, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(picture(value))


def write_zip(path, names):
    with zipfile.ZipFile(path, "w") as out:
        for value, name in enumerate(names):
            out.writestr(name, picture(value))
    return path


def write_idx(folder, n_train=20, n_test=10, suffix=".gz", size=5):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {}
    for prefix, n in (("train", n_train), ("t10k", n_test)):
        arrays[f"{prefix}-images-idx3-ubyte"] = rng.integers(0, 256, (n, size, size), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = np.arange(n, dtype=np.uint8) % 10
    for name, array in arrays.items():
        data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
        (folder / (name + suffix)).write_bytes(gzip.compress(data) if suffix else data)
    return arrays


CIFAR_FILES = [f"{part}/{name}/000{i}.png" for part in ("train", "test") for name in CIFAR10_CLASSES for i in (0, 1)]


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """A computer without data sets, network or Debian's tools."""

    def nothing(*_):
        raise GannetError("cannot be reached")

    monkeypatch.delenv("GANNET_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(public_dataset, "DEBIAN_DATASETS", tmp_path / "debian")
    monkeypatch.setattr(Cifar10, "fetch", nothing)
    monkeypatch.setattr(FashionMnist, "fetch", nothing)
    return tmp_path


@pytest.mark.parametrize("wrap", ["", "set/", "a/b/"])
@pytest.mark.parametrize("zipped", [False, True])
def test_class_folders(zipped, wrap, tmp_path):
    names = [wrap + name for name in ("cat/1.png", "cat/deep/2.png", "dog/1.png")]
    path = tmp_path / "pets.zip" if zipped else tmp_path / "pets"
    write_zip(path, names) if zipped else write_files(path, names)
    found = load_class_folders(path)
    assert found.name == "pets" and found.class_names == ("cat", "dog") and found.is_test is None
    assert found.labels.tolist() == [0, 0, 1] and found.labels.dtype == np.int64
    assert len(found) == len(found.source) == 3


def test_train_and_test_folders(tmp_path):
    write_files(tmp_path, ["train/a/1.png", "train/b/1.png", "test/b/1.png"])
    found = load_class_folders(tmp_path)
    by_name = dict(zip(found.source.members, zip(found.labels, found.is_test, strict=True), strict=True))
    assert by_name == {"train/a/1.png": (0, False), "train/b/1.png": (1, False), "test/b/1.png": (1, True)}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/1.png", "2.png"], "2.png lies outside a class folder"),
        (["train/1.png"], "lies outside a class folder"),
        (["train/a/1.png", "val/a/1.png"], "has a folder 'val' beside train and test"),
    ],
)
def test_images_outside_class_folders(names, message, tmp_path):
    write_files(tmp_path, names)
    with pytest.raises(GannetError, match=message):
        load_class_folders(tmp_path)


def test_a_matrix_has_no_class_folders(tmp_path):
    np.save(tmp_path / "m.npy", np.zeros((2, 2)))
    with pytest.raises(GannetError, match=r"not a folder or \.zip of class folders"):
        load_class_folders(tmp_path / "m.npy")


def test_cifar10_of_class_folders(tmp_path):
    found = Cifar10().load(write_zip(tmp_path / "c.zip", CIFAR_FILES))
    assert found.name == "cifar10" and found.class_names == CIFAR10_CLASSES
    assert np.bincount(found.labels).tolist() == [4] * 10 and found.is_test.sum() == 20
    assert decode(found.source.read(0), 8).shape == (8, 8, 3)


def test_other_folders_are_not_cifar10(tmp_path):
    for names in (["cat/1.png"], [name for name in CIFAR_FILES if "truck" not in name]):
        path = write_zip(tmp_path / "c.zip", names)
        with pytest.raises(GannetError, match="is not CIFAR-10"):
            Cifar10().load(path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_fashion_mnist(suffix, tmp_path):
    arrays = write_idx(tmp_path, suffix=suffix)
    found = FashionMnist().load(tmp_path)
    assert found.class_names == FASHION_MNIST_CLASSES and len(found) == 30
    assert found.is_test.tolist() == [False] * 20 + [True] * 10
    assert found.labels.tolist() == [*range(10), *range(10), *range(10)]
    gray = arrays["t10k-images-idx3-ubyte"][3]
    assert found.source.paths[23] == f"{tmp_path}#test/3"
    for raw in (found.source.read(23), read_item(found.source.paths[23])):
        assert raw.shape == (5, 5, 3) and all(np.array_equal(raw[..., channel], gray) for channel in range(3))
    assert open_source(tmp_path).class_names == tuple("0123456789")


def test_idx_that_does_not_fit(tmp_path):
    def fails(message):
        with pytest.raises(GannetError, match=message) as caught:
            open_source(tmp_path)
        assert len(str(caught.value).splitlines()) == 1

    write_idx(tmp_path)
    labels = tmp_path / "t10k-labels-idx1-ubyte.gz"
    whole = labels.read_bytes()
    for data in (whole[:5], whole[:-9], b"", b"x" * 40):
        labels.write_bytes(data)
        fails(r"damaged|shorter|cannot be read|not an IDX")
    labels.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
    fails("shorter or longer than its header says; fetch it again")
    labels.write_bytes(gzip.compress(b"\0\0\x0d\1" + struct.pack(">I", 10) + bytes(10)))
    fails("not an IDX file of 1-dimensional uint8 data")
    labels.write_bytes(gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 2**32 - 1)))
    fails("not an IDX file")
    labels.write_bytes(gzip.compress(b"\0\0\x08\1" + struct.pack(">I", 9) + bytes(9)))
    fails("10 test images, but 9 labels")
    labels.unlink()
    fails("lacks t10k-labels-idx1-ubyte.gz")


def test_a_folder_without_idx_is_not_fashion_mnist(tmp_path):
    write_files(tmp_path, ["a.png"])
    with pytest.raises(GannetError, match="is not Fashion-MNIST"):
        FashionMnist().load(tmp_path)


def test_labels_that_do_not_fit_the_images():
    found = get_dataset("digits")().load()
    for labels in (found.labels[:5], found.labels.reshape(-1, 1, 1)):
        with pytest.raises(GannetError, match=r"the labels of digits have shape .*; it has 1,797 images"):
            replace(found, labels=labels)


def test_unknown_names_are_suggested():
    with pytest.raises(GannetError, match="did you mean 'fashion-mnist'"):
        get_dataset("fashion-minst")


def test_digits():
    found = get_dataset("digits")().load()
    assert len(found) == 1797 and found.is_test is None and len(found.class_names) == 10
    raw = found.source.read(5)
    assert raw.shape == (8, 8, 3) and raw.dtype == np.uint8 and raw.max() > 200
    assert np.array_equal(read_item(found.source.paths[5]), raw)
    assert np.bincount(found.labels).min() > 170


def test_digits_are_always_there_and_say_why(alone):
    found = find_dataset()
    assert found.name == "digits"
    assert [line.split(":")[0] for line in found.attempts] == [
        "CIFAR-10 on this computer",
        "Fashion-MNIST on this computer",
        "CIFAR-10 from its official site",
        "Fashion-MNIST from Debian",
    ]
    assert all(len(line.splitlines()) == 1 for line in found.attempts)


@pytest.mark.parametrize("place", ["data", "cache/datasets", "own"])
@pytest.mark.parametrize("name", ["cifar10-jpeg.zip", "cifar10"])
def test_local_cifar10_is_found(place, name, alone, monkeypatch):
    monkeypatch.setenv("GANNET_DATA", str(alone / "own"))
    (alone / place).mkdir(parents=True)
    path = alone / place / name
    write_zip(path, CIFAR_FILES) if path.suffix else write_files(path, CIFAR_FILES)
    found = find_dataset()
    assert found.name == "cifar10" and str(path) in found.note and found.attempts == ()
    assert Cifar10().load().source.paths == found.source.paths


def test_gannet_data_may_be_the_set_itself(alone, monkeypatch):
    write_files(alone / "elsewhere", CIFAR_FILES)
    monkeypatch.setenv("GANNET_DATA", str(alone / "elsewhere"))
    assert find_dataset().name == "cifar10"
    write_idx(alone / "clothes")
    monkeypatch.setenv("GANNET_DATA", str(alone / "clothes"))
    assert find_dataset().name == "fashion-mnist"
    monkeypatch.setenv("GANNET_DATA", str(write_zip(alone / "x.zip", CIFAR_FILES)))
    assert find_dataset().name == "cifar10"


def test_broken_local_set_is_told_and_passed_over(alone):
    (alone / "data").mkdir()
    (alone / "data" / "cifar10.zip").write_bytes(b"PK")
    write_idx(alone / "debian" / "fashion-mnist")
    found = find_dataset()
    assert found.name == "fashion-mnist" and len(found.attempts) == 1
    assert "cifar10.zip is not a readable zip archive" in found.attempts[0]


def test_fetched_sets_are_used(alone, monkeypatch):
    write_idx(alone / "fetched")
    monkeypatch.setattr(FashionMnist, "fetch", lambda _: alone / "fetched")
    found = find_dataset()
    assert found.name == "fashion-mnist" and len(found.attempts) == 3
    assert FashionMnist().load().note == found.note
    with pytest.raises(GannetError, match="cannot be reached"):
        Cifar10().load()


def test_debian_package_is_fetched_without_root(tmp_path, monkeypatch):
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda tool: tool)

    def run(command, *, cwd, **_):
        if command[0] == "apt-get":
            (Path(cwd) / "dataset-fashion-mnist_1_all.deb").write_bytes(b"")
        else:
            write_idx(Path(cwd) / "tree" / "usr/share/datasets/fashion-mnist")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fashion_mnist.subprocess, "run", run)
    folder = FashionMnist().fetch()
    assert [entry.name for entry in (tmp_path / "datasets").iterdir()] == ["fashion-mnist"]
    assert len(FashionMnist().load(folder)) == 30


def test_debian_failures_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda tool: tool)
    failed = subprocess.CompletedProcess([], 100, "", "W: odd\nE: Unable to locate package\n")
    monkeypatch.setattr(fashion_mnist.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(GannetError, match="apt-get failed: E: Unable to locate package"):
        FashionMnist().fetch()
    monkeypatch.setattr(fashion_mnist.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0, "", ""))
    with pytest.raises(GannetError, match="could not be unpacked"):
        FashionMnist().fetch()
    monkeypatch.setattr(fashion_mnist.shutil, "which", lambda tool: None)
    with pytest.raises(GannetError, match="needs apt-get"):
        FashionMnist().fetch()


def test_unreachable_download_is_one_quiet_line(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
    with pytest.raises(GannetError, match=r"cannot be reached \(ConnectionError\)"):
        Cifar10("http://127.0.0.1:9/cifar-10-python.tar.gz").fetch()
    assert capfd.readouterr().err == ""


def test_download_with_another_hash_is_refused(tmp_path, monkeypatch):
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("GANNET_CACHE", str(tmp_path))
        with pytest.raises(GannetError, match="could not be downloaded") as caught:
            Cifar10(f"http://127.0.0.1:{server.server_port}/c.tar.gz").fetch()
        server.shutdown()
    assert len(str(caught.value).splitlines()) == 1
    assert list((tmp_path / "datasets").iterdir()) == []


REAL = Path(__file__).parents[3] / "shared"


@pytest.mark.real
def test_real_cifar10_as_jpeg_files():
    path = REAL / "data" / "cifar10-jpeg.zip"
    if not path.exists():
        pytest.skip("needs cifar10-jpeg.zip in ../shared/data")
    found = Cifar10().load(path)
    assert np.bincount(found.labels).tolist() == [6000] * 10 and found.is_test.sum() == 10_000
    for index in (0, 31_234, 59_999):
        assert decode(found.source.read(index), 32).std() > 1
    assert found.source.read(59_999) == read_item(found.source.paths[59_999])


@pytest.mark.real
def test_real_cifar10_as_official_batches(tmp_path):
    script = REAL / "bin" / "cifar10"
    if not script.exists():
        pytest.skip("needs cifar10 in ../shared/bin")
    subprocess.run([sys.executable, str(script), "official", str(tmp_path)], check=True)
    found = Cifar10().load(tmp_path)
    assert np.bincount(found.labels).tolist() == [6000] * 10 and found.is_test.sum() == 10_000
    assert np.bincount(found.labels[found.is_test]).tolist() == [1000] * 10
    # The batches hold the pixels of the JPEG files, so that each class has the same test images in both.
    jpeg = Cifar10().load(REAL / "data" / "cifar10-jpeg.zip")
    for label in (0, 9):
        official = {found.source.read(i).tobytes() for i in np.flatnonzero(found.is_test & (found.labels == label))}
        for index in np.flatnonzero(jpeg.is_test & (jpeg.labels == label))[:20]:
            assert decode(jpeg.source.read(index), 32).tobytes() in official
