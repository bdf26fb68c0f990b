"""Folders of matrices in several files, as clip-retrieval and img2dataset write them, with the names beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import is_file, is_folder, reading
from gannet.data.matrix import MatrixSource, make_source, names_at, names_of, read_rows
from gannet.data.options import MATRIX_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.data.sources._folder import parts_in
from gannet.data.sources._table import names_in, open_rows
from gannet.data.sources.matrix import NumpyMatrix
from gannet.data.sources.parquet import ParquetMatrix, ParquetTable, image_columns, is_parquet
from gannet.errors import GannetError

_EMBEDDINGS, _METADATA = "img_emb", "metadata"
_MATRICES = (".npy", ".parquet")


class MatrixFolder(SourceKind):
    """A folder of .npy or Parquet files that are parts of one matrix.

    The folder holds the files and no images or other folders, or it holds ``img_emb``, the folder of image embeddings
    in the layout of clip-retrieval.
    """

    name = "matrix-folder"
    description = "a folder of matrices (.npy, .parquet)"
    items = "rows"
    options = MATRIX_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of such a folder. The first image or other folder decides."""
        if is_folder(Path(text, _EMBEDDINGS)):
            return True
        parts = map(str, parts_in(text, _MATRICES) or [])
        first = next(parts, None)
        return first is not None and not (is_parquet(first) and image_columns(first))

    def open(self, text: str) -> MatrixSource:
        """Read all parts, in the order of the numbers in their names.

        The names of the items are in Parquet or text files: one beside each .npy file with the same name, or
        ``metadata_0`` in the folder ``metadata`` for ``img_emb_0``. All parts together are held in memory.
        """
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> MatrixSource:
        """Read all parts with the given columns and names."""
        inner = Path(text, _EMBEDDINGS)
        folder = inner if is_folder(inner) else Path(text)
        with reading("is not a folder of matrices", text):
            files = sorted(filter(_is_part, folder.iterdir()), key=lambda file: _numbers(file.name))
        arrays = [file for file in files if file.suffix.lower() == ".npy"]
        parts = arrays or files
        if not parts:
            raise GannetError(f"{folder} holds no .npy or .parquet file")
        if options.sample is not None:
            sampled = _sampled(text, parts, options)
            if sampled is not None:
                return sampled
        columns, names_file = options.names, None
        if columns is not None and is_file(columns):
            columns, names_file = None, columns
        names: list[Any] = []
        unnamed: list[str] = []
        sources: list[MatrixSource] = []
        for part in parts:
            plain = ReadOptions(options.features, None if arrays else columns, options.skip_nan and not arrays)
            kind = NumpyMatrix() if arrays else ParquetMatrix()
            source = kind.open_with(str(part), plain)
            sources.append(source)
            found = _names_beside(part, columns) if arrays else source.paths
            if found is None:
                unnamed.append(part.name)
            else:
                names += _checked(part, found, source)
        if names and unnamed and names_file is None:
            raise GannetError(f"{folder} has names beside some parts, but not beside {unnamed[0]}: add them there")
        features = _joined(folder, sources)
        if names_file is not None:
            names = names_of(names_file)
        elif columns is not None and unnamed:
            raise GannetError(f"{folder} has no column {columns} beside each part: name another one with --names")
        return make_source(text, features, names or None, options, _notes(parts, sources))


def _sampled(text: str, parts: Sequence[Path], options: ReadOptions) -> MatrixSource | None:
    """Return a sample of the rows of all parts, named by part and row; None if the sample is larger than the matrix."""
    counts = [_count_rows(part) for part in parts]
    rows = options.rows(sum(counts))
    if rows is None:
        return None
    ends = np.cumsum(counts)
    sources = []
    for part, start, end in zip(parts, ends - counts, ends, strict=True):
        places = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
        if len(places):
            sources.append(_open_rows(part, options, places))
    names = [name for source in sources for name in source.paths]
    sampled = make_source(text, _joined(Path(text), sources), names, options, _notes(parts, sources))
    sampled.total = sum(counts)
    return sampled


def _count_rows(part: Path) -> int:
    return len(NumpyMatrix().open(str(part))) if part.suffix.lower() == ".npy" else ParquetTable(str(part)).n_rows


def _open_rows(part: Path, options: ReadOptions, rows: NDArray[np.int64]) -> MatrixSource:
    """Return some rows of a part; missing values of a Parquet file are left out if the options say so."""
    if part.suffix.lower() != ".npy":
        return open_rows(ParquetTable(str(part)), ReadOptions(options.features, skip_nan=options.skip_nan), rows)
    whole = NumpyMatrix().open(str(part))
    return MatrixSource(str(part), read_rows(whole.features, rows), names_at(whole.paths, rows))


def _joined(folder: Path, sources: Sequence[MatrixSource]) -> NDArray[Any]:
    """Return the features of all parts, which must have one width."""
    widths = sorted({source.features.shape[1] for source in sources})
    if len(widths) > 1:
        raise GannetError(f"{folder} has parts of different widths, {widths[0]} and {widths[-1]} features")
    return np.concatenate([source.features for source in sources])


def _notes(parts: Sequence[Path], sources: Sequence[MatrixSource]) -> list[str]:
    width = sources[0].features.shape[1]
    first = f"{len(parts):,} parts of {width:,} features: {parts[0].name} … {parts[-1].name}"
    return list(dict.fromkeys([first, *(note for source in sources for note in source.notes)]))


def _is_part(file: Path) -> bool:
    return file.suffix.lower() in _MATRICES and not file.name.startswith(".")


def _numbers(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts names by the numbers in them: part_2 before part_10."""
    return [(int(text), "") if text.isdigit() else (0, text) for text in re.split(r"([0-9]+)", name)]


def _names_beside(part: Path, column: str | None) -> Sequence[Any] | None:
    """Return the names of the rows of an .npy file from the Parquet or text file that belongs to it, if any."""
    number = re.search(r"[0-9]+$", part.stem)
    metadata = f"{_METADATA}_{number[0]}.parquet" if number else f"{_METADATA}.parquet"
    for file in (part.with_suffix(".parquet"), part.parent.parent / _METADATA / metadata, part.parent / metadata):
        if is_file(str(file)):
            return names_in(ParquetTable(str(file)), column)
    lines = part.with_suffix(".txt")
    return names_of(str(lines)) if is_file(str(lines)) and column is None else None


def _checked(part: Path, names: Sequence[Any], source: MatrixSource) -> Sequence[Any]:
    if len(names) != len(source):
        raise GannetError(f"{part} has {len(source):,} rows, but {len(names):,} names beside it: give one per row")
    return names
