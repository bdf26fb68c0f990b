"""Bad input is refused with one line on standard error and exit status 2, and no stored data is lost."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gannet.collection import Collection
from gannet.collection.schema import checksum
from gannet.encoders import Linear
from gannet.model import Model


def refused(result: Any, *words: str) -> str:
    """Check that a command was refused in one line with these words in it."""
    assert result.status == 2, result
    assert result.out == ""
    assert result.err.startswith("gannet: ") and result.err.count("\n") == 1 and result.err.endswith("\n")
    assert "Traceback" not in result.err
    for word in words:
        assert word in result.err
    return result.err


def bomb(path: Path) -> Path:
    """Write a PNG whose header claims 60,000 by 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


def spoil(folder: Path, save_image) -> dict[str, str]:
    """Write one bad file of each kind to a folder; return their names, each with a part of the reason."""
    whole = save_image(folder / "whole.png", 99).read_bytes()
    (folder / "whole.png").unlink()
    (folder / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "corrupt.png").write_bytes(whole[:45] + bytes(20) + whole[65:])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture at all")
    bomb(folder / "bomb.png")
    return {
        "truncated.png": "image file",
        "corrupt.png": "image file",
        "empty.jpg": "empty file",
        "text.jpg": "not an image",
        "bomb.png": "too many pixels",
    }


# Images


def test_bad_images_are_skipped_by_name(tmp_path: Path, photos: Path, image_model: Path, save_image, run) -> None:
    reasons = spoil(photos, save_image)
    result = run("index", photos, "-m", image_model, "-o", tmp_path / "c")
    lines = result.err.splitlines()
    assert result.status == 0 and "added 60 items, skipped 5" in result.out
    assert lines[0] == "skipped 5:" and len(lines) == 6
    for name, reason in reasons.items():
        assert any(str(photos / name) in line and reason in line for line in lines)


def test_nothing_left(tmp_path: Path, image_model: Path, image_collection: Path, save_image, run) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    spoil(folder, save_image)
    before = image_collection.read_bytes()
    refused(run("fit", folder, "-o", tmp_path / "m"), "could be read")
    refused(run("index", folder, "-m", image_model, "-o", tmp_path / "c"), "nothing could be read")
    refused(run("add", image_collection, folder), "nothing could be read")
    assert not (tmp_path / "m").exists() and not (tmp_path / "c").exists()
    assert image_collection.read_bytes() == before


def test_bad_query_images(tmp_path: Path, image_collection: Path, save_image, run) -> None:
    for name, reason in spoil(tmp_path, save_image).items():
        refused(run("search", image_collection, tmp_path / name), name, reason)
    refused(run("search", image_collection, "missing.jpg"), "missing.jpg")
    (tmp_path / "none").mkdir()
    refused(run("search", image_collection, tmp_path / "none"), str(tmp_path / "none"), "no images")
    refused(run("search", image_collection, ""), "neither an id")


def test_folders(tmp_path: Path, photos: Path, tiny, run, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(run("fit", empty, "-o", tmp_path / "m"), "no images in")
    refused(run("fit", tmp_path / "absent", "-o", tmp_path / "m"), "absent")
    scandir = os.scandir

    def unreadable(path):
        if str(path).endswith(("sub", "closed")):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", unreadable)
    fitted = run("fit", photos, "-o", tmp_path / "m", "--method", "lsh", "--bits", 8)
    assert fitted.status == 0
    assert fitted.err == f"skipped 1:\n  {photos / 'sub'}: cannot be read: Permission denied\n"
    closed = tmp_path / "closed"
    closed.mkdir()
    refused(run("fit", closed, "-o", tmp_path / "m2"), "Permission denied")


def test_unreadable_files(tmp_path: Path, image_collection: Path, photos: Path, save_image, run, monkeypatch) -> None:
    locked = save_image(photos / "locked.png", 77)
    open_file = Path.open

    def deny(self, *arguments, **keywords):
        if self == locked:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return open_file(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", deny)
    result = run("add", image_collection, photos)
    assert result.status == 0
    assert result.err == f"skipped 1:\n  {locked}: cannot be read: Permission denied\n"
    refused(run("search", image_collection, locked), "locked.png", "Permission denied")


# Matrices


def test_features_that_cannot_be_learned_from(tmp_path: Path, vectors, run) -> None:
    nan, infinite, huge, giant = vectors.copy(), vectors.copy(), vectors.astype(np.float64), vectors.copy()
    nan[5, 3], infinite[6, 0], huge[7, 1], giant[0, 0] = np.nan, -np.inf, 1e300, 1e30
    bad = {
        "nan": (nan, "row 5 of the features holds NaN or infinity"),
        "infinite": (infinite, "row 6 of the features holds NaN or infinity"),
        "huge": (huge, "row 7 of the features holds NaN or infinity"),
        "giant": (giant, "scale them down"),
        "constant": (np.ones((50, 4), np.float32), "all items have the same features"),
        "few": (vectors[:7], "too few to learn 8 bits"),
        "one": (vectors[:1], "too few to learn 8 bits"),
        "flat": (vectors[0], "must be (items, features)"),
        "empty": (vectors[:0], "is empty"),
        "text": (np.array([["a", "b"]]), "float32"),
    }
    for name, (values, words) in bad.items():
        np.save(tmp_path / f"{name}.npy", values)
        for method in ("itq", "lsh", "uhga"):
            output = tmp_path / f"{name}.model"
            arguments = ("--method", method, "--bits", 8)
            refused(run("fit", tmp_path / f"{name}.npy", "-o", output, *arguments), words)
            assert not output.exists()


def test_damaged_matrices(tmp_path: Path, matrix: Path, vectors, run) -> None:
    np.savez(tmp_path / "v.npz", a=vectors, b=vectors)
    refused(run("fit", tmp_path / "v.npz", "-o", tmp_path / "m"), "name the matrix one of")
    np.savez(tmp_path / "v.npz", vectors)
    np.save(tmp_path / "objects.npy", np.array([{}, {}], object), allow_pickle=True)
    refused(run("fit", tmp_path / "objects.npy", "-o", tmp_path / "m"), "objects.npy")
    (tmp_path / "v.parquet").write_bytes(b"PAR1 nothing PAR1")
    for name in ("vectors.npy", "v.npz", "v.parquet"):
        data = (tmp_path / name).read_bytes()
        for length in (0, 5, len(data) // 2):
            (tmp_path / name).write_bytes(data[:length])
            refused(run("fit", tmp_path / name, "-o", tmp_path / "m", "--bits", 8), name)


def test_bad_rows_as_queries(tmp_path: Path, matrix: Path, matrix_collection, vectors, save_image, run) -> None:
    vectors[3, 0] = np.nan
    np.save(tmp_path / "nan.npy", vectors)
    np.save(tmp_path / "wide.npy", np.ones((3, 21)))
    refused(run("search", matrix_collection, f"{matrix}#100"), "has no row 100")
    refused(run("search", matrix_collection, f"{tmp_path / 'nan.npy'}#3"), "nan.npy#3", "NaN")
    refused(run("search", matrix_collection, f"{tmp_path / 'wide.npy'}#0"), "wide.npy#0", "(n, 20)")
    refused(run("search", matrix_collection, f"{tmp_path / 'absent.npy'}#0"), "absent.npy")
    refused(run("search", matrix_collection, tmp_path / "absent.txt"), "vectors.npy#17")
    picture = save_image(tmp_path / "picture.png", 0)
    refused(run("search", matrix_collection, picture), "vectors, not images")


def test_rows_of_nan_are_not_indexed(tmp_path: Path, matrix_model: Path, matrix_collection: Path, vectors, run) -> None:
    vectors[60, 0] = np.inf
    np.save(tmp_path / "bad.npy", vectors)
    before = matrix_collection.read_bytes()
    refused(run("index", tmp_path / "bad.npy", "-m", matrix_model, "-o", tmp_path / "c"), "row 60")
    refused(run("add", matrix_collection, tmp_path / "bad.npy"), "row 60")
    assert not (tmp_path / "c").exists() and matrix_collection.read_bytes() == before


# Models and collections


def test_a_source_of_another_kind_than_the_model(
    tmp_path: Path, photos: Path, matrix: Path, matrix_model, image_model, matrix_collection, image_collection, run
) -> None:
    np.save(tmp_path / "wide.npy", np.ones((3, 21)))
    c = tmp_path / "c"
    refused(run("index", photos, "-m", matrix_model, "-o", c), "feature vectors, not images")
    refused(run("index", matrix, "-m", image_model, "-o", c), "the model reads images with tiny")
    refused(run("index", tmp_path / "wide.npy", "-m", matrix_model, "-o", c), "(n, 20)", "(3, 21)")
    refused(run("add", matrix_collection, photos), "feature vectors, not images")
    refused(run("add", image_collection, matrix), "the model reads images with tiny")
    refused(run("search", image_collection, f"{matrix}#0"), "row of a matrix", "collection is of images")
    refused(run("fit", matrix, "-o", tmp_path / "m", "--backbone", "alexnet"), "leave --backbone out")
    assert not c.exists()


def test_models_that_do_not_fit_their_collection_or_backbone(tmp_path: Path, photos: Path, tiny, run) -> None:
    features = np.zeros(24, np.float32)
    encoder = Linear(features, np.ones((24, 16), np.float32), np.zeros(16, np.float32))
    other_bits, unknown, hollow = tmp_path / "bits", tmp_path / "unknown", tmp_path / "hollow"
    with Collection.create(other_bits, Model(encoder, "lsh")) as collection:
        collection.add(np.zeros((1, 2), np.uint8), ["a"])
    with contextlib.closing(sqlite3.connect(other_bits)) as db, db:
        db.execute("UPDATE collection SET n_bits = 12")
        (*row, _) = db.execute("SELECT * FROM collection").fetchone()
        db.execute("UPDATE collection SET checksum = ?", (checksum(*row),))
    np.save(tmp_path / "v.npy", np.ones((3, 24)))
    refused(run("add", other_bits, tmp_path / "v.npy"), "12 bits", "makes 16")
    refused(run("search", other_bits, f"{tmp_path / 'v.npy'}#0"), "12 bits", "makes 16")
    assert run("search", other_bits, "0").status == 0
    Model(encoder, "lsh", {}, "efficientnet-lite9", 16).save(unknown)
    refused(
        run("index", photos, "-m", unknown, "-o", tmp_path / "c"), "unknown backbone", "did you mean 'efficientnet-lite"
    )
    Model(encoder, "lsh", {}, "tiny", 16).save(hollow)
    refused(run("index", photos, "-m", hollow, "-o", tmp_path / "c"), "weight")
    assert not (tmp_path / "c").exists()


def test_damaged_and_foreign_files_in_place_of_a_model(
    tmp_path: Path, matrix: Path, matrix_model: Path, matrix_collection: Path, run
) -> None:
    data = matrix_model.read_bytes()
    bad = tmp_path / "bad.model"
    flipped = bytearray(data)
    flipped[-3] ^= 1
    for content in (b"", b"x", data[:7], data[:100], data[:-1], data + b"x", bytes(flipped), matrix.read_bytes()):
        bad.write_bytes(content)
        refused(run("index", matrix, "-m", bad, "-o", tmp_path / "c"), str(bad))
    refused(run("index", matrix, "-m", matrix_collection, "-o", tmp_path / "c"), "not a model")
    refused(run("index", matrix, "-m", tmp_path / "absent", "-o", tmp_path / "c"), "absent")
    refused(run("index", matrix, "-m", tmp_path, "-o", tmp_path / "c"), str(tmp_path))
    assert not (tmp_path / "c").exists()


def test_damaged_and_foreign_files_in_place_of_a_collection(
    tmp_path: Path, matrix: Path, matrix_model: Path, matrix_collection: Path, run
) -> None:
    data = matrix_collection.read_bytes()
    bad = tmp_path / "bad.gannet"
    for content in (b"", b"x", data[:50], data[: len(data) // 2], matrix.read_bytes(), matrix_model.read_bytes()):
        for command in (("search", bad, "3"), ("search", bad, f"{matrix}#0"), ("remove", bad, 3), ("add", bad, matrix)):
            bad.write_bytes(content)
            refused(run(*command), str(bad))
            assert bad.read_bytes() == content
    for command in (("search", "absent", "3"), ("remove", "absent", 3), ("add", "absent", matrix)):
        refused(run(*command), "absent", "gannet index")
    refused(run("search", tmp_path, "3"), str(tmp_path))


# What is written


def test_outputs_that_cannot_be_written(tmp_path: Path, matrix: Path, matrix_model, matrix_collection, run) -> None:
    fit = ("fit", matrix, "--method", "lsh", "--bits", 8, "-o")
    index = ("index", matrix, "-m", matrix_model, "-o")
    refused(run(*fit, tmp_path / "absent" / "m"), "absent does not exist: make it first")
    refused(run(*index, tmp_path / "absent" / "c"), "absent does not exist: make it first")
    refused(run(*fit, tmp_path), "is a folder")
    refused(run(*index, tmp_path), "exists")
    refused(run(*index, matrix_collection), "gannet add")
    refused(run(*index, matrix), "exists")
    refused(run(*fit, matrix_collection), "is not a model")
    refused(run(*fit, matrix), "is not a model")
    refused(run(*fit, tmp_path / ("x" * 300)), "name too long")
    refused(run("search", matrix_collection, "3", "--html", matrix_collection), "is not a page")
    refused(run("search", matrix_collection, "3", "--html", tmp_path), "is not a page")


def test_a_link_to_itself_is_replaced_by_a_page(tmp_path: Path, matrix_collection: Path, run) -> None:
    page = tmp_path / "loop.html"
    page.symlink_to(page)
    assert run("search", matrix_collection, "3", "--html", page).status == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_folder_that_is_read_only(tmp_path: Path, matrix: Path, matrix_model: Path, run, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    refused(run("fit", matrix, "-o", tmp_path / "m", "--method", "lsh", "--bits", 8), "cannot be written to")
    refused(run("index", matrix, "-m", matrix_model, "-o", tmp_path / "c"), "cannot be written to")


def no_space(*_arguments):
    raise OSError(errno.ENOSPC, "No space left on device")


class Full:
    """A file on a full disk."""

    def __init__(self, file) -> None:
        self._file = file

    def __enter__(self) -> Full:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    write = staticmethod(no_space)


@pytest.mark.parametrize("call", ["fsync", "write", "create"])
def test_a_full_disk_leaves_the_model_as_it_was(tmp_path: Path, matrix, matrix_model: Path, run, monkeypatch, call):
    before = matrix_model.read_bytes()
    files = sorted(path.name for path in tmp_path.iterdir())
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", no_space)
    else:
        real = Path.open

        def full(path: Path, mode: str = "r", **keywords):
            if mode != "xb":
                return real(path, mode, **keywords)
            if call == "create":
                no_space()
            file = real(path, mode, buffering=0, **keywords)
            return Full(file)

        monkeypatch.setattr(Path, "open", full)
    refused(run("fit", matrix, "-o", matrix_model, "--method", "lsh", "--bits", 8), "No space left on device")
    monkeypatch.undo()
    assert matrix_model.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == files


def content(file: Path) -> tuple[list[str], bytes]:
    """Return the paths and codes of a collection, after checking it."""
    with Collection.open(file, readonly=True) as collection:
        collection.check()
        return collection.paths(collection.ids), collection.codes().tobytes()


def test_a_small_disk(tmp_path: Path, vectors, matrix_model: Path, matrix_collection: Path, run) -> None:
    """Repeat the test on a real, full file system, if one can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "none", disk], capture_output=True)
    if not mounted or mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        model, collection = disk / "m", disk / "c"
        shutil.copy(matrix_model, model)
        shutil.copy(matrix_collection, collection)
        many = tmp_path / "many.npy"
        np.save(many, np.tile(vectors, (200, 1)))
        before = model.read_bytes(), content(collection)
        refused(run("add", collection, many), "no space left on the disk")
        np.save(tmp_path / "wide.npy", np.random.default_rng(0).standard_normal((100, 8000)))
        refused(run("fit", tmp_path / "wide.npy", "-o", model, "--method", "lsh", "--bits", 64), "No space left")
        refused(run("index", many, "-m", matrix_model, "-o", disk / "new"), "no space left on the disk")
        assert (model.read_bytes(), content(collection)) == before
        assert run("search", collection, "3").status == 0
    finally:
        subprocess.run(["umount", disk], check=True)


# Words and numbers


def test_unknown_names_come_with_the_nearest(tmp_path: Path, matrix: Path, photos: Path, run) -> None:
    fit = ("fit", matrix, "-o", tmp_path / "m", "--bits", 8)
    refused(run("serch", "c", "1"), "unknown command 'serch'", "did you mean 'search'?")
    refused(run(*fit, "--method", "uhgaa"), "unknown method 'uhgaa'", "did you mean 'uhga'?")
    refused(run(*fit, "--goal", "nearst"), "unknown goal 'nearst'", "did you mean 'nearest'?")
    refused(
        run(*fit, "--method", "uhga", "--set", "n_step=3"),
        "unknown setting of uhga 'n_step'",
        "did you mean 'n_steps'?",
    )
    refused(run(*fit, "--method", "lsh", "--set", "n_steps=3"), "lsh has no settings")
    refused(run(*fit, "--method", "itq", "--set", "gradient_attention=true"), "gradient attention has no place")
    wrong = run("fit", photos, "-o", tmp_path / "m", "--backbone", "efficientnet-lit0", "--method", "lsh")
    refused(wrong, "unknown backbone", "did you mean 'efficientnet-lite0'?")
    refused(run(*fit, "--method", "uhga", "--set", "similarity=cosin"), "did you mean 'cosine'?")
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--bits", "0"], "at least 1 bit"),
        (["--bits", "-3"], "at least 1 bit"),
        (["--bits", "abc"], "'abc' is not a valid integer"),
        (["--bits", "21", "--method", "itq"], "at most one bit per feature"),
        (["--bits", "1000000"], "too few to learn 1000000 bits"),
        (["--seed", "-1"], "--seed"),
        (["--set", "n_steps"], "KEY=VALUE"),
        (["--set", "=3"], "KEY=VALUE"),
        (["--set", "n_steps=many"], "n_steps must be a whole number, not 'many'"),
        (["--set", "n_steps=1.5"], "n_steps must be a whole number"),
        (["--set", "n_steps=0"], "n_steps must be a whole number from 1"),
        (["--set", "learning_rate=fast"], "learning_rate must be a number"),
        (["--set", "learning_rate=nan"], "learning_rate must be a number"),
        (["--set", "gradient_attention=maybe"], "must be true or false"),
        (["--bogus"], "--bogus"),
        (["--method"], "--method"),
        (["--goal", "kind"], "give one of them"),
        (["--sample", "0"], "sample must be a whole number from 1"),
        (["--sample", "few"], "--sample must be a whole number from 1, or all"),
    ],
)
def test_options_of_fit(tmp_path: Path, matrix: Path, run, arguments, words) -> None:
    refused(run("fit", matrix, "-o", tmp_path / "m", "--bits", 8, "--method", "uhga", *arguments), words)
    assert not (tmp_path / "m").exists()


def test_bits_are_checked_before_the_work(tmp_path: Path, photos: Path, tiny, encoded: list[int], run) -> None:
    refused(run("fit", photos, "-o", tmp_path / "m", "--bits", 0), "at least 1 bit")
    assert encoded == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["3", "-k", "0"], "k must be 1 or more"),
        (["3", "-k", "-1"], "k must be 1 or more"),
        (["3", "-k", "x"], "'x' is not a valid integer"),
        (["3", "--radius", "-1"], "the radius must be 0 bits or more"),
        (["3", "--radius", "x"], "'x' is not a valid integer"),
        (["100"], "has no item 100"),
        (["9223372036854775807"], "has no item 9223372036854775807"),
        (["9223372036854775808"], "no item has the id 9223372036854775808"),
        (["9" * 5000], "no item has the id"),
        (["100", "101"], "has no item 100"),
        ([], "QUERY"),
    ],
)
def test_options_of_search(matrix_collection: Path, run, arguments, words) -> None:
    result = run("search", matrix_collection, *arguments)
    if len(arguments) == 2 and "-" not in "".join(arguments):  # what cannot be answered is also named in its place
        assert result.out.count("not answered: ") == 2
        result = SimpleNamespace(status=result.status, out="", err=result.err)
    refused(result, words)


@pytest.mark.parametrize("wrong", ["100", "9223372036854775807", "9223372036854775808", "9" * 5000, "x", "-1", "1.5"])
def test_remove_removes_all_or_none(matrix_collection: Path, run, wrong) -> None:
    before = content(matrix_collection)
    refused(run("remove", matrix_collection, "3", wrong))
    assert content(matrix_collection) == before


def test_an_emptied_collection_answers_nothing(matrix: Path, matrix_collection: Path, run) -> None:
    assert run("remove", matrix_collection, *range(100)).status == 0
    np.save(matrix.with_name("query.npy"), np.ones((1, 20)))
    for option in ("-k", "--radius"):
        result = run("search", matrix_collection, f"{matrix.with_name('query.npy')}#0", option, 3, "--json")
        assert (result.status, result.err) == (0, "")
        assert json.loads(result.out)[0]["results"] == []
    refused(run("search", matrix_collection, "3"), "has no item 3")
    assert run("add", matrix_collection, matrix).out == f"added 100 items: {matrix_collection} holds 100\n"


def test_missing_arguments(run) -> None:
    refused(run("fit"), "SOURCE")
    refused(run("index", "x"), "--output")
    refused(run("index", "x", "-o", "y"), "--model")
    refused(run("remove", "x"), "ID")
    refused(run("--bogus"), "--bogus")


def test_a_process_ends_as_the_function_does(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from gannet.cli import main; main()", "search", str(tmp_path / "absent"), "3"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    refused(SimpleNamespace(status=result.returncode, out=result.stdout, err=result.stderr), "there is no collection")


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "out of memory"),
        (OSError(errno.EIO, "Input/output error", "disk"), 2, "disk: Input/output error"),
    ],
)
def test_interruptions(matrix_collection: Path, run, monkeypatch, error, status, words) -> None:
    def fail(*_arguments, **_keywords):
        raise error

    monkeypatch.setattr(Collection, "open", fail)
    result = run("search", matrix_collection, "3")
    # The terminal shows ^C first, so the message of an interruption starts on a new line.
    assert (result.status, result.out) == (status, "")
    assert result.err.strip().startswith(f"gannet: {words}") and "\n" not in result.err.strip()


@pytest.mark.parametrize(
    "setting",
    ["attention_hidden=-3", "attention_hidden=0", "attention_learning_rate=-1", "tanh_growth=-5", "n_steps=0"],
)
def test_settings_out_of_range(setting: str, matrix: Path, tmp_path: Path, run) -> None:
    result = run("fit", matrix, "-o", tmp_path / "m", "--bits", 8, "--method", "uhga", "--set", setting)
    assert result.status == 2 and result.err.startswith("gannet: ") and result.err.count("\n") == 1
    assert setting.partition("=")[0] in result.err
