"""Lists of images with labels, the format of NUS-WIDE."""

import io

import numpy as np
import pytest
from PIL import Image

from gannet.data.datasets.nuswide21 import NUSWIDE_LABELS, NusWide21
from gannet.data.lists import has_lists, load_list, load_lists
from gannet.errors import GannetError


def write_image(path):
    out = io.BytesIO()
    Image.new("RGB", (4, 4)).save(out, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(out.getvalue())


def line(name, *on, n_labels=NUSWIDE_LABELS):
    return " ".join([name, *("1" if label in on else "0" for label in range(n_labels))])


def write_set(root, test, database, train=None, absent=()):
    for name, entries in (("test.txt", test), ("database.txt", database), ("train.txt", train)):
        if entries is None:
            continue
        (root / name).write_text("\n".join(line(path, *on) for path, on in entries) + "\n")
        for path, _ in entries:
            if path not in absent:
                write_image(root / path)
    return root


TEST = [("images/q 0.png", (0,)), ("images/q1.png", (1, 20))]
DATABASE = [("images/d0.png", (0, 1)), ("images/d1.png", (5,)), ("images/d2.png", (20,))]


def test_lists_give_rows_and_several_labels(tmp_path):
    train = [DATABASE[2], ("images/t.png", (3,))]
    found = NusWide21().load(write_set(tmp_path, TEST, DATABASE, train))
    assert has_lists(tmp_path)
    assert found.labels.shape == (6, 21)
    assert found.labels.dtype == bool
    names = found.source.members
    assert [names[row] for row in found.parts["query"]] == [name for name, _ in TEST]
    assert [names[row] for row in found.parts["database"]] == [name for name, _ in DATABASE]
    assert [names[row] for row in found.parts["train"]] == ["images/d2.png", "images/t.png"]
    for entries, rows in (
        (TEST, found.parts["query"]),
        (DATABASE, found.parts["database"]),
        (train, found.parts["train"]),
    ):
        for (_, on), row in zip(entries, rows, strict=True):
            np.testing.assert_array_equal(np.flatnonzero(found.labels[row]), on)
    assert found.source.read(int(found.parts["query"][0]))  # a path with a space


def test_without_train_list_the_database_is_the_training_set(tmp_path):
    found = load_lists(write_set(tmp_path, TEST, DATABASE))
    np.testing.assert_array_equal(found.parts["train"], found.parts["database"])


def test_missing_images_are_counted_and_named(tmp_path):
    database = [(f"images/{i:02}.png", (i,)) for i in range(9)]
    absent = [path for path, _ in database[2:7]]
    write_set(tmp_path, TEST, database, absent=absent)
    with pytest.raises(GannetError) as error:
        load_lists(tmp_path)
    message = str(error.value)
    assert "5 of 11 listed images are missing" in message
    assert str(tmp_path) in message
    assert "images/02.png, images/03.png, images/04.png, ..." in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("database.txt", "", "is empty"),
        ("database.txt", "images/d0.png\n", "line 1: give a path, then a class"),
        ("database.txt", line("a.png") + "\n" + "b.png 1 0\n", "line 2: give a path, then 21 zeros and ones"),
        (
            "database.txt",
            line("a.png") + "\n" + line("b.png").replace(" 0", " 2") + "\n",
            "line 2: give a path, then 21 zeros",
        ),
        ("database.txt", line("/a.png") + "\n", "must be relative"),
        ("database.txt", f"{line('a.png')}\n{line('a.png')}\n", "line 2: a.png is listed twice"),
        ("database.txt", line("images/q1.png", 1, 20) + "\n", r"1 images of test.txt are in database.txt too"),
        ("train.txt", line("images/q1.png", 1, 20) + "\n", r"1 images of test.txt are in train.txt too"),
        ("train.txt", line("images/d1.png", 4) + "\n", "images/d1.png has other labels in train.txt"),
        ("train.txt", line("images/d1.png", n_labels=20) + "\n", "other labels"),
        ("train.txt", line("images/new.png", n_labels=20) + "\n", "different numbers of labels"),
    ],
)
def test_malformed_lists_are_one_clear_line(tmp_path, name, text, message):
    write_set(tmp_path, TEST, DATABASE)
    write_image(tmp_path / "images/new.png")
    (tmp_path / name).write_text(text)
    with pytest.raises(GannetError, match=message) as error:
        load_lists(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_list_and_bytes_that_are_not_text(tmp_path):
    assert not has_lists(tmp_path)
    with pytest.raises(GannetError, match=r"there is no database\.txt"):
        load_lists(tmp_path)
    (tmp_path / "list.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(GannetError, match="not a text file"):
        load_list(tmp_path / "list.txt")


def test_nuswide_has_21_concepts(tmp_path):
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png")
    (tmp_path / "test.txt").write_text("a.png 0 1\n")
    (tmp_path / "database.txt").write_text("b.png 1 1\n")
    assert load_lists(tmp_path).labels.tolist() == [[True, True], [False, True]]
    with pytest.raises(GannetError, match="21 columns"):
        NusWide21().load(tmp_path)


def test_one_list_of_class_names(tmp_path):
    for name in ("a.png", "my cat.png"):
        write_image(tmp_path / name)
    (tmp_path / "list.txt").write_text("a.png dog\n\nmy cat.png cat\n")
    found = load_list(tmp_path / "list.txt")
    assert found.labels.tolist() == ["dog", "cat"]
    assert found.source.members == ["a.png", "my cat.png"]
    assert found.parts == {}
