"""Folders of matrices: the layouts of clip-retrieval and img2dataset, and the names beside the parts."""

import numpy as np
import pytest
from PIL import Image

from gannet.data import FolderSource, open_row, open_source
from gannet.errors import GannetError

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def write_names(path, **columns):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table(columns), path)


def write_parts(folder, stem, numbers=("0", "2", "10")):
    folder.mkdir(parents=True, exist_ok=True)
    for place, number in enumerate(numbers):
        np.save(folder / f"{stem}{number}.npy", X[4 * place : 4 * place + 4])


def test_clip_retrieval(tmp_path):
    write_parts(tmp_path / "img_emb", "img_emb_")
    write_parts(tmp_path / "text_emb", "text_emb_")
    for place, number in enumerate((0, 2, 10)):
        paths = [f"p{row}.jpg" for row in range(4 * place, 4 * place + 4)]
        write_names(tmp_path / "metadata" / f"metadata_{number}.parquet", image_path=paths, caption=["c"] * 4)
    for path in (tmp_path, tmp_path / "img_emb"):
        source = open_source(path)
        assert np.array_equal(source.features, X) and list(source.paths) == [f"p{row}.jpg" for row in range(12)]
        assert source.notes == ["3 parts of 4 features: img_emb_0.npy … img_emb_10.npy"]
    assert np.array_equal(open_row(f"{tmp_path}#9"), X[9:10])
    assert list(open_source(tmp_path, names="caption").paths) == ["c"] * 12


def test_parts_with_names_beside_them(tmp_path):
    write_parts(tmp_path, "0000")
    for place, number in enumerate(("0", "2", "10")):
        write_names(tmp_path / f"0000{number}.parquet", key=[f"{place}{row}" for row in range(4)], width=[1] * 4)
    (tmp_path / "00000_stats.json").write_text("{}")
    source = open_source(tmp_path)
    assert np.array_equal(source.features, X) and source.paths[5] == "11"


def test_parts_with_text_files_of_names_beside_them(tmp_path):
    write_parts(tmp_path, "x")
    for part in tmp_path.glob("*.npy"):
        part.with_suffix(".txt").write_text("".join(f"{part.stem}/{row}\n" for row in range(4)))
    paths = list(open_source(tmp_path).paths)
    assert paths[:2] == ["x0/0", "x0/1"] and len(set(paths)) == 12
    part.with_suffix(".txt").unlink()
    with pytest.raises(GannetError, match="names beside some parts"):
        open_source(tmp_path)


def test_parts_in_parquet(tmp_path):
    for place in range(3):
        write_names(tmp_path / f"part-{place}.parquet", id=list("abcd"), v=list(X[4 * place : 4 * place + 4]))
    source = open_source(tmp_path)
    assert np.array_equal(source.features, X) and list(source.paths) == list("abcd") * 3
    assert source.notes[1:] == ["4 features: v; names: id"]


def test_parts_without_names_and_with_a_file_of_names(tmp_path):
    write_parts(tmp_path / "m", "x")
    assert open_source(tmp_path / "m").paths[11] == f"{tmp_path / 'm'}#11"
    (tmp_path / "names.txt").write_text("".join(f"n{row}\n" for row in range(12)))
    assert open_source(tmp_path / "m", names=tmp_path / "names.txt").paths[11] == "n11"
    with pytest.raises(GannetError, match="no column nothing beside each part"):
        open_source(tmp_path / "m", names="nothing")


def test_rows_with_nan_are_skipped(tmp_path):
    write_parts(tmp_path, "x")
    damaged = X[:4].copy()
    damaged[1, 1] = np.nan
    np.save(tmp_path / "x0.npy", damaged)
    source = open_source(tmp_path, skip_nan=True)
    assert len(source) == 11 and source.paths[1] == f"{tmp_path}#2" and "skipped 1 rows" in source.notes[-1]


def test_parts_that_do_not_fit(tmp_path):
    write_parts(tmp_path, "x")
    write_names(tmp_path / "x2.parquet", id=list("abcd"))
    with pytest.raises(GannetError, match=r"names beside some parts, but not beside x0\.npy"):
        open_source(tmp_path)
    write_names(tmp_path / "x0.parquet", id=list("abcd"))
    write_names(tmp_path / "x10.parquet", id=list("abcd"))
    write_names(tmp_path / "x2.parquet", id=["a"])
    with pytest.raises(GannetError, match=r"x2\.npy has 4 rows, but 1 names beside it"):
        open_source(tmp_path)
    np.save(tmp_path / "x2.npy", X[:1, :3])
    with pytest.raises(GannetError, match="parts of different widths, 3 and 4 features"):
        open_source(tmp_path)


@pytest.mark.parametrize("name", ["photo.png", "sub/photo.png"])
def test_a_folder_with_images_stays_a_folder_of_images(name, tmp_path):
    np.save(tmp_path / "features.npy", X)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (9, 9)).save(tmp_path / name)
    source = open_source(tmp_path)
    assert isinstance(source, FolderSource) and source.members == [name] and source.notes == ["passed over: 1 .npy"]
