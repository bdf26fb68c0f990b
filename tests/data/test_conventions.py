"""Layouts of other tools: image folders with metadata, tar shards, saved data sets, Parquet with images."""

import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from gannet import ITQ, ImageHasher
from gannet.data import Sample, is_matrix, open_row, open_source, read_item
from gannet.errors import GannetError
from gannet.feature_reader import open_images

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def picture(color):
    out = io.BytesIO()
    Image.new("RGB", (6, 4), (color, 10, 20)).save(out, "PNG")
    return out.getvalue()


def mean_color(images):
    return np.array([np.asarray(image).mean(axis=(0, 1)) for image in images])


def cells(colors):
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    return pa.array([{"bytes": picture(color), "path": f"{color}.png"} for color in colors], kind)


def write_shard(path, colors):
    with tarfile.open(path, "w") as out:
        for color in colors:
            for name, content in [(f"{color}.png", picture(color)), (f"{color}.json", b"{}"), (f"{color}.txt", b"a")]:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                out.addfile(info, io.BytesIO(content))


def write_saved(folder, parts):
    write_saved_tables(folder, [pa.table({"image": cells(colors), "label": colors}) for colors in parts])


def write_saved_tables(folder, tables):
    folder.mkdir()
    names = [f"data-{place:05}-of-{len(tables):05}.arrow" for place in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")


def test_metadata_beside_images_is_passed_over(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.png").write_bytes(picture(1))
    (tmp_path / "train" / "metadata.csv").write_text("file_name,text\n1.png,a\n")
    (tmp_path / "train" / "metadata.jsonl").write_text('{"file_name": "1.png"}\n')
    source = open_source(tmp_path)
    assert source.members == ["train/1.png"] and len(source.notes) == 1
    assert source.notes[0].startswith("passed over: ")
    assert set(source.notes[0].removeprefix("passed over: ").split(", ")) == {"1 .csv", "1 .jsonl"}


def test_folder_of_shards(tmp_path):
    write_shard(tmp_path / "00000.tar", [1, 2])
    write_shard(tmp_path / "00001.tar", [3])
    (tmp_path / "00002.tar").write_bytes(b"text" * 500)
    (tmp_path / "00000_stats.json").write_text("{}")
    pq.write_table(pa.table({"url": ["a", "b"]}), tmp_path / "00000.parquet")
    source = open_source(tmp_path)
    assert source.members == ["00000.tar!1.png", "00000.tar!2.png", "00001.tar!3.png"]
    assert source.paths[2] == f"{tmp_path}/00001.tar!3.png"
    assert [source.read(index) for index in range(3)] == [picture(1), picture(2), picture(3)]
    assert read_item(source.paths[2]) == picture(3) and not is_matrix(tmp_path)
    assert [item.path for item in source.skipped] == [f"{tmp_path}/00002.tar"]
    assert "not a readable tar archive" in source.skipped[0].reason
    assert "00001.tar: passed over: 1 .json, 1 .txt" in source.notes
    assert len(open_source(tmp_path, exclude="2.png")) == 2


def test_folder_of_damaged_shards_is_refused(tmp_path):
    (tmp_path / "0.tar").write_bytes(b"text" * 500)
    with pytest.raises(GannetError, match=r"no images in .*not a readable tar archive"):
        open_source(tmp_path)


def test_saved_dataset(tmp_path):
    folder = tmp_path / "saved"
    write_saved(folder, [[1, 2, 3], [4]])
    source = open_source(folder)
    assert source.members == ["0", "1", "2", "3"] and source.notes == ["images: column image; not taken: label"]
    assert [source.read(index) for index in range(4)] == [picture(color) for color in (1, 2, 3, 4)]
    assert read_item(f"{folder}#3") == picture(4)


def test_saved_datasets_that_cannot_be_read_are_refused(tmp_path):
    folder = tmp_path / "saved"
    write_saved(folder, [[1]])
    (folder / "data-00000-of-00001.arrow").write_bytes(b"damaged")
    with pytest.raises(GannetError, match="not a readable data set"):
        open_source(folder)
    table = pa.table({"text": ["a"]})
    file = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(file, "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(GannetError, match=r"no column of images, but text \(string\)"):
        open_source(folder)


def test_saved_dataset_with_embeddings(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    columns = {"id": list("abcdefg"), "vector": list(vectors), "image": cells(range(7)), "vector2": list(-vectors)}
    table = pa.table(columns)
    folder = tmp_path / "saved"
    write_saved_tables(folder, [table.slice(0, 3), table.slice(3)])
    with pytest.raises(GannetError, match=r"vector.*vector2.*--features"):
        open_source(folder)
    source = open_source(folder, features="vector")
    assert is_matrix(folder) and np.array_equal(source.features, vectors) and list(source.paths) == list("abcdefg")
    assert source.notes == ["4 features: vector; names: id; not taken: image, vector2"]
    sample = open_source(folder, features="vector2", sample=Sample(2, seed=0))
    rows = Sample(2, seed=0).rows(7)
    assert np.array_equal(sample.features, -vectors[rows]) and sample.total == 7
    assert list(sample.paths) == ["abcdefg"[row] for row in rows]
    write_saved_tables(tmp_path / "unnamed", [pa.table({"vector": list(vectors)})])
    assert list(open_source(tmp_path / "unnamed").paths)[:2] == [f"{tmp_path}/unnamed#0", f"{tmp_path}/unnamed#1"]
    assert np.array_equal(open_row(f"{tmp_path}/unnamed#6"), vectors[6:])
    with pytest.raises(GannetError, match="leave --exclude out"):
        open_source(folder, features="vector", exclude="*")


def test_saved_splits_of_embeddings_are_read_one_at_a_time(tmp_path):
    for split in ("train", "test"):
        write_saved_tables(tmp_path / split, [pa.table({"vector": [[1.0, 2.0]]})])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(GannetError, match=f"splits of embeddings, which are read one at a time: name {tmp_path}/train"):
        open_source(tmp_path)
    assert len(open_source(tmp_path / "test")) == 1


@pytest.mark.parametrize("column", ["photo", "jpg"])
def test_parquet_with_images(tmp_path, column):
    path = tmp_path / "train-00000-of-00001.parquet"
    content = cells([1, 2, 3]) if column == "photo" else pa.array([picture(color) for color in (1, 2, 3)])
    pq.write_table(pa.table({column: content, "label": [0, 1, 2]}), path, row_group_size=2)
    source = open_source(path)
    assert [source.read(index) for index in (2, 0, 1)] == [picture(3), picture(1), picture(2)]
    assert read_item(f"{path}#2") == picture(3) and not is_matrix(path)
    assert source.notes == [f"images: column {column}; not taken: label"]


def test_parquet_rows_without_bytes_and_several_image_columns(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"jpg": pa.array([None], pa.binary())}), path)
    with pytest.raises(GannetError, match="no image bytes"):
        open_source(path).read(0)
    pq.write_table(pa.table({"a": cells([1]), "b": cells([2])}), path)
    with pytest.raises(GannetError, match="several columns of images, a, b"):
        open_source(path)


def test_folder_of_the_hub_with_parquet_shards(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "README.md").write_text("a card")
    pq.write_table(pa.table({"image": cells([1, 2])}), tmp_path / "data" / "train-00000-of-00002.parquet")
    pq.write_table(pa.table({"image": cells([3])}), tmp_path / "data" / "train-00001-of-00002.parquet")
    (tmp_path / "data" / "train-00002-of-00002.parquet").write_bytes(b"damaged")
    for folder in (tmp_path, tmp_path / "data"):
        source = open_source(folder)
        assert [source.read(index) for index in range(3)] == [picture(1), picture(2), picture(3)]
        assert source.paths[2] == f"{tmp_path}/data/train-00001-of-00002.parquet#0" and not is_matrix(folder)
        assert read_item(source.paths[2]) == picture(3)
        assert [item.path.rpartition("/")[2] for item in source.skipped] == ["train-00002-of-00002.parquet"]
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "1.png").write_bytes(picture(5))
    source = open_source(tmp_path)
    assert source.members == ["more/1.png"] and "3 .parquet" in source.notes[0]


def test_saved_splits(tmp_path):
    write_saved(tmp_path / "train", [[1, 2]])
    write_saved(tmp_path / "test", [[3]])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    source = open_source(tmp_path)
    assert source.paths == [f"{tmp_path}/train#0", f"{tmp_path}/train#1", f"{tmp_path}/test#0"]
    assert read_item(source.paths[2]) == picture(3)
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["../other"]}')
    with pytest.raises(GannetError, match="no readable"):
        open_source(tmp_path)


def test_parquet_with_embeddings_stays_a_matrix(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": cells([1, 2]), "embedding": [[1.0, 2.0], [3.0, 4.0]]}), path)
    assert is_matrix(path) and np.array_equal(open_source(path).features, [[1, 2], [3, 4]])


def test_datasets_in_memory(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"picture": datasets.Image(), "label": datasets.Value("int64")})
    (tmp_path / "9.png").write_bytes(picture(9))
    rows = [{"bytes": picture(color), "path": None} for color in range(8)]
    rows.append({"bytes": None, "path": str(tmp_path / "9.png")})
    dataset = datasets.Dataset.from_dict({"picture": rows, "label": list(range(9))}, features=features)
    source = open_images(dataset.select([8, 0, 3]))
    assert [source.read(index) for index in range(3)] == [picture(9), picture(0), picture(3)]
    hasher = ImageHasher(ITQ(n_bits=2), backbone=mean_color).fit(dataset)
    assert np.array_equal(hasher.encode(dataset), hasher.encode([row["bytes"] or picture(9) for row in rows]))
    dataset.save_to_disk(tmp_path / "saved")
    assert [open_source(tmp_path / "saved").read(index) for index in (0, 7)] == [picture(0), picture(7)]
    vectors = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    both = dataset.add_column("vector", list(vectors))
    with pytest.raises(GannetError, match=r"not picture, vector: choose one with dataset.select_columns"):
        open_images(both)
    with pytest.raises(GannetError, match="none among label"):
        open_images(dataset.select_columns("label"))
    named = both.remove_columns("picture").add_column("id", [f"row {i}" for i in range(9)])
    assert list(open_images(named.select([3, 1])).paths) == ["row 3", "row 1"]
    named.save_to_disk(tmp_path / "vectors")
    assert np.allclose(open_source(tmp_path / "vectors").features, vectors)
    for form in (both.remove_columns("picture"), both.select_columns("vector").with_format("numpy")):
        assert np.allclose(open_images(form).features, vectors)
