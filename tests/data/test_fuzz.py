"""Damaged files: every reader raises `GannetError` with one line, or returns data, and never takes long.

`make fuzz` runs the same tests with many more inputs: the environment variable GANNET_FUZZ sets the number per reader.
"""

import gzip
import io
import json
import os
import pickle
import signal
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from gannet.data import decode, open_source, thumbnail
from gannet.data.class_folders import load_class_folders
from gannet.data.formats import IMAGE_EXTENSIONS
from gannet.data.lists import load_list
from gannet.data.matrix import names_of
from gannet.data.sources._plain_pickle import read_plain_pickle
from gannet.errors import GannetError
from gannet.evaluation.protocols import get_protocol
from gannet.evaluation.record import Retrieval, TrainingPoint
from gannet.evaluation.results import ResultsFolder, sweep_tables, text_table
from gannet.evaluation.score import read_codes_file
from gannet.model import Model
from gannet.pages.bench_report import bench_page
from made_records import make_record
from tiny_model import tiny_model

COUNT = int(os.environ.get("GANNET_FUZZ", "300"))
SECONDS = 20
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(5, 3)).astype(np.float32)


def picture(kind="PNG", mode="RGB", **options):
    out = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (12, 9, 3), dtype=np.uint8)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def of(write):
    out = io.BytesIO()
    write(out)
    return out.getvalue()


BATCHES = ("data_batch_1", "b/test_batch", "c" * 90 + ".png", "é.png")


def tar(out, mode="w", names=BATCHES, **options):
    with tarfile.open(fileobj=out, mode=mode, **options) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(content := picture())
            archive.addfile(info, io.BytesIO(content))


def zipped(out, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(out, "w", method) as archive:
        for name in ("a.png", "é/b.png", "c.txt"):
            archive.writestr(name, picture())


def batch():
    return pickle.dumps({b"labels": [1, 2], b"data": np.zeros((2, 3072), np.uint8), b"names": ["é", b"\xff"]}, 2)


def idx(n_dimensions):
    shape = (4, 5, 5)[:n_dimensions]
    return struct.pack(f">HBB{n_dimensions}I", 0, 8, n_dimensions, *shape) + bytes(np.prod(shape))


def parquet(out, **columns):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns), out)


def mutate(random, data):
    """Return the data with one to four random damages."""
    data = bytearray(data)
    for _ in range(random.integers(1, 5)):
        at = int(random.integers(len(data) + 1))
        length = int(random.choice([1, 1, 2, 4, 8, 30]))
        match random.integers(7):
            case 0:
                data[at : at + 1] = bytes([random.integers(256)])
            case 1:
                data[at : at + length] = random.bytes(length)
            case 2:
                data[at : at + length] = random.choice([b"\0", b"\xff", b"\x80", b"7", b"("]) * length
            case 3:
                del data[at : at + length]
            case 4:
                data[at:at] = data[at // 2 : at // 2 + length]
            case 5:
                data[at : at + 1] = bytes([data[at] ^ (1 << random.integers(8))]) if at < len(data) else b""
            case 6 if random.integers(4) == 0:
                del data[at:]
    return bytes(data)


class HangError(BaseException):
    pass


def hang(*_):
    raise HangError(f"took more than {SECONDS} s")


def mutate_json(random, data):
    """Return lines of JSON with one value replaced, or with damaged bytes."""
    if random.integers(2):
        return mutate(random, data)
    lines = [json.loads(line) for line in data.splitlines()]
    holder = lines[random.integers(len(lines))]
    while True:
        key = random.choice(list(holder)) if isinstance(holder, dict) else int(random.integers(len(holder)))
        if not (isinstance(holder[key], dict | list) and len(holder[key]) and random.integers(2)):
            break
        holder = holder[key]
    holder[key] = ODD_VALUES[random.integers(len(ODD_VALUES))]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


ODD_VALUES = [
    *(None, True, "", "x", "\ud800", "<b>", [], {}, [1], {"1": 1}, [[1, 2, 3]], {"a": None}, [{"step": 1}]),
    *(0, 1, -1, 7, 2**31, 2**63 - 1, 2**63, -(2**64), 10**400, 0.5, -0.0, 1e308, -1e308, 5e-324),
    *(float("nan"), float("inf"), -float("inf")),
]


def check(read, valid, count=COUNT, opens=True, mutate=mutate):
    """Read damaged forms of each valid file: nothing but `GannetError` may come out, in one line."""
    random = np.random.default_rng(7)
    previous = signal.signal(signal.SIGALRM, hang)
    try:
        for number in range(count):
            data = valid[number % len(valid)] if number < len(valid) else mutate(random, valid[number % len(valid)])
            signal.alarm(SECONDS)
            try:
                read(data)
            except GannetError as error:
                assert len(str(error).splitlines()) == 1, data
                assert number >= len(valid) or not opens, f"the undamaged file is refused: {error}"
            except (Exception, HangError) as error:
                raise AssertionError(f"{type(error).__name__}: {error}: {data!r}") from error
            finally:
                signal.alarm(0)
    finally:
        signal.signal(signal.SIGALRM, previous)


def read_all(path, data):
    """Open the file and read each of its items; items that cannot be read are skipped, as by `gannet add`."""
    path.write_bytes(data)
    source = open_source(path)
    for index in range(min(len(source), 4)):
        if hasattr(source, "read"):
            try:
                assert isinstance(source.read(index), bytes | np.ndarray)
            except GannetError as error:
                assert len(str(error).splitlines()) == 1
        else:
            assert isinstance(source.paths[index], str) and np.array(source.features[index]).ndim == 1


@pytest.mark.parametrize("name", ["npy", "npz", "parquet", "zip", "tar"])
def test_matrices_and_archives(name, tmp_path):
    valid = {
        "npy": lambda: [of(lambda out: np.save(out, X)), of(lambda out: np.save(out, np.asfortranarray(X)))],
        "npz": lambda: [
            of(lambda out: np.savez(out, X=X, y=[1])),
            of(lambda out: np.savez_compressed(out, X=X, names=list("abcde"))),
        ],
        "parquet": lambda: [
            of(lambda out: parquet(out, path=list("abcde"), v=list(X))),
            of(lambda out: parquet(out, f0=X[:, 0], f1=X[:, 1], id=range(5))),
        ],
        "zip": lambda: [of(lambda out, m=m: zipped(out, m)) for m in (0, 8, 12, 14)],
    }
    valid["tar"] = lambda: [
        of(lambda out, f=f: tar(out, format=f, names=("a.png", "b/c.json", "c" * 120 + ".png", "é.png")))
        for f in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
    ]
    if name == "parquet":
        pytest.importorskip("pyarrow")
    check(lambda data: read_all(tmp_path / f"m.{name}", data), valid[name]())


def test_cifar_batches(tmp_path):
    check(lambda data: read_plain_pickle(data, "x"), [batch()])


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar(mode, tmp_path):
    valid = [of(lambda out, f=f: tar(out, mode, format=f)) for f in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)]
    check(lambda data: read_all(tmp_path / "x.tar.gz", data), valid, opens=False)  # its batches hold pictures


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx(suffix, tmp_path):
    pack = gzip.compress if suffix else bytes
    for part in ("train", "t10k"):
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1)):
            (tmp_path / f"{part}-{kind}-ubyte{suffix}").write_bytes(pack(idx(dimensions)))

    def read(data):
        (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(data)
        open_source(tmp_path)

    check(read, [pack(idx(3))])


def test_lists(tmp_path):
    for name in ("a.png", "b c.png"):
        (tmp_path / name).write_bytes(b"")

    def read(data):
        (tmp_path / "list.txt").write_bytes(data)
        load_list(tmp_path / "list.txt")

    check(read, [b"a.png cat\nb c.png dog\n", b"a.png 0 1\nb c.png 1 1\n"])


def test_class_folders_in_an_archive(tmp_path):
    def write(out):
        with zipfile.ZipFile(out, "w") as archive:
            for name in ("set/train/cat/1.png", "set/test/dog/2.png"):
                archive.writestr(name, picture())

    def read(data):
        (tmp_path / "x.zip").write_bytes(data)
        load_class_folders(tmp_path / "x.zip")

    check(read, [of(write)])


def test_codes_for_score(tmp_path):
    codes = {"query_codes": [[0, 1]], "database_codes": [[0, 1], [1, 0]]}
    packed = {"query_codes": np.zeros((1, 1), np.uint8), "database_codes": np.ones((2, 1), np.uint8), "bits": 8}

    def read(data):
        (tmp_path / "codes.npz").write_bytes(data)
        read_codes_file(tmp_path / "codes.npz")

    labels = {"query_labels": [3], "database_labels": [3, 5]}
    check(read, [of(lambda out, held=held: np.savez(out, **held, **labels)) for held in (codes, packed)])


def test_results_of_benchmarks(tmp_path):
    curve = [TrainingPoint(1, 0.5, 0.1, 0.0), TrainingPoint(2, 0.25, 0.1, 0.0, 0.5)]
    held = [
        make_record("uhga", seed=0, settings=settings, training=curve, bits_on=(0.1, 0.9), backbone="x", value=value)
        for settings, value in (({"margin": 0.1}, 0.5), ({"margin": 0.2}, 0.75))
    ]
    held += [make_record("itq", seed=seed, examples=[Retrieval(1, [(2, 3, 1)])]) for seed in range(2)]
    held += [make_record("itq", bits=32)]
    protocol = get_protocol("digits")

    def read(data):
        (tmp_path / "results.jsonl").write_bytes(data)
        with ResultsFolder(tmp_path, "small") as folder:
            if folder.records:
                text_table(folder.records)
                sweep_tables(folder.records, "small")
                bench_page(protocol, folder.records, "")

    check(read, [b"".join(json.dumps(record.to_json()).encode() + b"\n" for record in held)], mutate=mutate_json)


def test_models():
    check(lambda data: Model.from_bytes(data, "x"), [tiny_model(24).to_bytes()])


def test_names_in_a_file(tmp_path):
    def read(data):
        (tmp_path / "names.npy").write_bytes(data)
        names_of(str(tmp_path / "names.npy"))

    check(read, [of(lambda out: np.save(out, np.array(["a", "é"]))), of(lambda out: np.save(out, np.arange(3)))])


def test_folders_of_matrices(tmp_path):
    pytest.importorskip("pyarrow")
    for number in range(2):
        np.save(tmp_path / f"x_{number}.npy", X)
    valid = [of(lambda out: parquet(out, image_path=list("abcde"), key=range(5)))]
    (tmp_path / "x_0.parquet").write_bytes(valid[0])

    def read(data):
        (tmp_path / "x_1.parquet").write_bytes(data)
        open_source(tmp_path)

    check(read, valid)


PICTURES = {
    "png": lambda: [picture(), picture(mode="P"), picture(mode="RGBA"), picture(mode="LA"), picture(mode="I;16")],
    "jpeg": lambda: [picture("JPEG"), picture("JPEG", "CMYK"), picture("JPEG", progressive=True)],
    "webp": lambda: [picture("WEBP"), picture("WEBP", "RGBA", lossless=True)],
    "gif": lambda: [picture("GIF", "P")],
    "bmp": lambda: [picture("BMP"), picture("BMP", "1")],
    "jpeg 2000": lambda: [picture("JPEG2000"), picture("JPEG2000", "L")],
    "avif": lambda: [picture("AVIF")],
    "tiff": lambda: [
        picture("TIFF"),
        picture("TIFF", "F"),
        picture("TIFF", "I;16"),
        picture("TIFF", compression="tiff_lzw"),
        picture("TIFF", compression="tiff_adobe_deflate"),
    ],
}


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.filterwarnings("ignore")
def test_pictures(kind):
    if f".{kind}" not in IMAGE_EXTENSIONS and kind == "avif":
        pytest.skip("Pillow is built without AVIF")

    def read(data):
        assert decode(data, 8).shape == (8, 8, 3)
        assert isinstance(thumbnail(data, 8), bytes)

    check(read, PICTURES[kind]())


def test_a_tar_whose_member_size_lies(tmp_path):
    """A skipped member of 8 exabytes in an archive of 1,536 bytes, and one whose size leads backwards."""
    info = tarfile.TarInfo("a")
    for size, kind in ((2**63, tarfile.REGTYPE), (2**33, tarfile.REGTYPE), (-512, tarfile.REGTYPE), (2**40, b"x")):
        info.size, info.type = 0, kind
        head = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        head[124:136] = (256**11 * (255 if size < 0 else 128) + size % 256**11).to_bytes(12, "big")
        head[148:156] = b"%06o\0 " % (sum(head[:148]) + 256 + sum(head[156:]))
        for pack in (bytes, gzip.compress):
            check(lambda data: read_refused(tmp_path / "x.tgz", data), [pack(bytes(head) + bytes(1024))], 1)


def read_refused(path, data):
    path.write_bytes(data)
    with pytest.raises(GannetError, match=r"tar archive|not a complete CIFAR-10") as caught:
        open_source(path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_pickle_with_nested_tuples_as_keys():
    nested = b")" + b"".join(b"q%c" % i + b"h%c\x86" % i for i in range(100))
    for stream in (b"\x80\x02}" + nested + b"K\x01s.", b"\x80\x02}(" + nested + b"K\x01u."):
        with pytest.raises(GannetError, match="x is refused: it holds a key that is not a text"):
            read_plain_pickle(stream, "x")


def test_a_pickle_that_encodes_one_text_again_and_again():
    text = b"c_codecs\nencode\nq\x00X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20)
    text += b"q\x01X\x06\0\0\0latin1\x86q\x02"
    with pytest.raises(GannetError, match="damaged: more byte strings than the stream has bytes"):
        read_plain_pickle(b"\x80\x02(" + text + b"h\x00h\x02R" * 1000 + b"t.", "x")


def test_one_damaged_member_spares_the_others(tmp_path):
    path = tmp_path / "x.zip"
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path.write_bytes(of(lambda out, m=method: zipped(out, m)))
        with zipfile.ZipFile(path) as archive:
            at = archive.getinfo("a.png").header_offset + 47
        whole = path.read_bytes()
        for length in (1, 4, 40):
            data = bytearray(whole)
            data[at : at + length] = bytes(255 - byte for byte in data[at : at + length])
            path.write_bytes(data)
            source = open_source(path)
            with pytest.raises(GannetError, match="damaged zip member"):
                source.read(0)
            assert decode(source.read(1), 4).shape == (4, 4, 3)


@pytest.mark.parametrize("text", [b"0.1 0.2\n0.3 0.4\n", b"\x80\x04\x95", b"{}"])
def test_a_text_named_npy_is_not_told_about_pickles(text, tmp_path):
    (tmp_path / "m.npy").write_bytes(text)
    with pytest.raises(GannetError, match=r"numpy\.save") as caught:
        open_source(tmp_path / "m.npy")
    assert "pickle" not in str(caught.value)


def test_mutations_are_the_same_in_every_run():
    damaged = [mutate(np.random.default_rng(1), batch()) for _ in range(2)]
    assert damaged[0] == damaged[1] and zlib.crc32(damaged[0]) != zlib.crc32(batch())
