"""Parquet files of features."""

from __future__ import annotations

import fnmatch
import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import is_file, reading
from gannet.data.matrix import (
    ARRAY_NAMES,
    MatrixSource,
    first_item_name,
    is_item_name,
    make_source,
    names_drawn,
    names_of,
    shown,
)
from gannet.data.options import MATRIX_OPTIONS, ReadOptions
from gannet.data.source_kind import SourceKind
from gannet.errors import GannetError
from gannet.support.libraries import load

#: Words in the names of numeric columns that say that a column is no feature.
_OTHER_WORDS = frozenset({
    "label", "labels", "class", "classes", "target", "category", "cat", "cluster", "fold", "split", "y", "width",
    "height", "w", "h", "size", "bytes", "length", "year", "month", "day", "hour", "date", "time", "timestamp",
    "created", "modified", "index", "idx", "row", "rank", "count", "num", "number", "id", "ids", "key", "score",
    "rating", "similarity", "aesthetic", "nsfw", "punsafe", "pwatermark", "status", "lat", "latitude", "lon",
    "lng", "longitude", "price", "age", "weight", "aspect", "ratio", "iso", "quality", "exposure", "aperture",
    "duration", "user", "version", "views", "likes",
})  # fmt: skip
#: Names of columns of bytes that are images: the formats that img2dataset writes.
_IMAGE_NAMES = frozenset({"jpg", "jpeg", "png", "webp", "image"})
_MOST, _LISTED = 0.75, 4

_ROWS_AT_ONCE = 1 << 14


class ParquetMatrix(SourceKind):
    """A Parquet file with one column of number lists, or with numeric columns."""

    name = "parquet"
    description = "a Parquet file of features (.parquet)"
    items = "rows"
    options = MATRIX_OPTIONS

    def takes(self, text: str) -> bool:
        """Return whether the text is the path of a ``.parquet`` file that is not one of images."""
        return is_parquet(text) and not image_columns(text)

    def open(self, text: str) -> MatrixSource:
        """Read the file; a column ``id``, ``path``, ``name``, ``image_path`` or the like names the items.

        Of several columns of number lists, one must be named ``features``, ``embeddings`` or ``X``. Numeric columns are
        taken if all of them can be features: the index of a pandas frame is not taken, and a mixture with columns such
        as ``label`` or ``width`` is refused.
        """
        return self.open_with(text, ReadOptions())

    def open_with(self, text: str, options: ReadOptions) -> MatrixSource:
        """Read the file, or a sample of its rows, with the given columns of features and of names."""
        return open_rows(text, options, options.rows(count_rows(text)))


def is_parquet(text: str) -> bool:
    """Return whether the text is the path of a file that ends in ``.parquet``."""
    return text.lower().endswith(".parquet") and is_file(text)


def image_columns(text: str) -> list[str]:
    """Return the columns of images in a Parquet file, by its schema.

    The list is empty if the file has a column of number lists, cannot be read, or pyarrow is missing.
    """
    try:
        _, kinds, _ = _opened(text)
    except GannetError:
        return []
    if any(is_column_of_lists(kind) for kind in kinds.values()):
        return []
    return [name for name, kind in kinds.items() if _is_image(name, kind)]


def count_rows(text: str) -> int:
    """Return the number of rows of a Parquet file."""
    return int(_opened(text)[0].metadata.num_rows)


def open_rows(text: str, options: ReadOptions, rows: NDArray[np.int64] | None) -> MatrixSource:
    """Return the matrix in a Parquet file, or some of its rows, which are read in bounded memory."""
    file, kinds, index = _opened(text)
    with reading("is not a readable Parquet file", text):
        names = _names_column(kinds, index, options.names)
        columns = _feature_columns(text, kinds, {*index, *([names] if names else ())}, options.features)
        # A name with a dot is read as the path of a nested field, so that the columns are picked afterwards.
        table = _read(file, [*columns, *([names] if names and names not in columns else ())], rows)
        features = _values(text, table, columns, options.skip_nan)
        values = table[names].to_pylist() if names else None
    total = file.metadata.num_rows
    if names is None and options.names is not None:
        values = names_drawn(text, names_of(options.names, kinds), rows, total)
    width = 0 if features.ndim < 2 else features.shape[1]
    note = f"{width:,} features: {shown(columns)}" + (f"; names: {names}" if names else "")
    left = [name for name in kinds if name != names and name not in columns]
    note += f"; not taken: {shown(left)}" if left else ""
    return make_source(text, features, values, options, [note], f"the names in column {names}", rows, total)


def _read(file: Any, columns: Sequence[str], rows: NDArray[np.int64] | None) -> Any:
    """Return some columns of a Parquet file as a table: all rows, or those at ascending places."""
    if rows is None:
        return file.read(columns=columns)
    import pyarrow as pa

    parts, start = [], 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=columns):
        first, last = np.searchsorted(rows, (start, start + len(batch)))
        parts.append(batch.take(pa.array(rows[first:last] - start)))
        start += len(batch)
    return pa.Table.from_batches(parts)


def names_in(text: str, column: str | None = None) -> list[Any] | None:
    """Return the names of items that a Parquet file without features holds; None if it has no column for them."""
    file, kinds, index = _opened(text)
    with reading("is not a readable Parquet file", text):
        names = _names_column(kinds, index, column)
        return None if names is None else list(file.read(columns=[names])[names].to_pylist())


def _opened(text: str) -> tuple[Any, dict[str, Any], list[str]]:
    """Return the opened file, the types of its columns, and the columns that hold the index of a pandas frame."""
    load("pyarrow", "parquet", "reading Parquet")
    pq = load("pyarrow.parquet", "parquet", "reading Parquet")
    with reading("is not a readable Parquet file", text):
        file = pq.ParquetFile(text)
        schema = file.schema_arrow
        if len(set(schema.names)) < len(schema.names):
            raise GannetError(f"{text} has several columns of one name: rename them")
        kinds = {field.name: field.type for field in schema}
        pandas = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = [name for name in pandas.get("index_columns", ()) if isinstance(name, str) and name in kinds]
        return file, kinds, [*index, *(name for name in kinds if re.fullmatch(r"__index_level_\d+__", name))]


def _names_column(kinds: dict[str, Any], index: Sequence[str], chosen: str | None) -> str | None:
    """Return the column that names the items, if any: a text column by its name, a text index, or one of numbers."""
    if chosen is not None:
        return chosen if chosen in kinds else None
    texts = [name for name, kind in kinds.items() if _is_text(kind)]
    by_text = first_item_name(texts) or next((name for name in index if name in texts), None)
    return by_text or first_item_name(name for name, kind in kinds.items() if _is_number(kind))


def _feature_columns(path: str, kinds: dict[str, Any], others: set[str], chosen: Sequence[str]) -> list[str]:
    """Return the columns of features: one of number lists, or numeric ones."""
    vectors = [name for name, kind in kinds.items() if is_column_of_lists(kind)]
    numbers = [name for name, kind in kinds.items() if _is_number(kind)]
    if chosen:
        return _chosen(path, kinds, vectors, numbers, chosen)
    named = [name for name in ARRAY_NAMES if name in vectors]
    numbers = [name for name in numbers if name not in others and not is_item_name(name)]
    if named or (len(vectors) == 1 and not _numbered(numbers)):
        return (named or vectors)[:1]
    if vectors or not numbers:
        held = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise GannetError(
            f"{path} holds {held}; it needs one column of number lists, or numeric columns: choose with --features"
        )
    doubtful = _doubtful(numbers, kinds)
    if doubtful:
        pattern = _pattern([name for name in numbers if name not in doubtful] or numbers, doubtful)
        raise GannetError(
            f"{path} has {len(numbers):,} numeric columns, of which {shown(doubtful)} may be no features: name the "
            f"features, as in --features '{pattern}', and the names of the items with --names COLUMN"
        )
    return numbers


def _chosen(
    path: str, kinds: dict[str, Any], vectors: list[str], numbers: list[str], chosen: Sequence[str]
) -> list[str]:
    found: dict[str, None] = {}
    for pattern in (part.strip() for text in chosen for part in ([text] if text in kinds else text.split(","))):
        usable = [pattern] if pattern in kinds else fnmatch.filter([*vectors, *numbers], pattern)
        if not usable:
            raise GannetError(f"{path} has no column {pattern} of numbers; its columns are {shown(list(kinds))}")
        found |= dict.fromkeys(usable)
    unusable = [name for name in found if name not in vectors and name not in numbers]
    if unusable:
        raise GannetError(f"{path}: column {unusable[0]} holds {kinds[unusable[0]]} values, which are no features")
    if len(found) > 1 and any(name in vectors for name in found):
        raise GannetError(f"{path}: choose one column of number lists with --features, or numeric columns")
    return list(found)


def _doubtful(numbers: Sequence[str], kinds: dict[str, Any]) -> list[str]:
    """Return the numeric columns that may be no features, by their names, or because they differ from most others."""
    numbered = _numbered(numbers)
    family = numbered or _prefixed(numbers)
    suspects = {name for name in numbers if (name not in family if family else _words(name) & _OTHER_WORDS)}
    floats = [name for name in numbers if not _is_integer(kinds[name])]
    if floats:
        suspects |= set(numbers) - set(floats)
        if not numbered:
            usual, _ = Counter(kinds[name] for name in floats).most_common(1)[0]
            suspects |= {name for name in floats if kinds[name] != usual}
    return [name for name in numbers if name in suspects]


def _numbered(numbers: Sequence[str]) -> list[str]:
    """Return the largest group of columns that differ only in a final number, such as f0, f1, f2."""
    families: dict[str, list[str]] = {}
    for name in numbers:
        if name[-1:].isdigit():
            families.setdefault(name.rstrip("0123456789"), []).append(name)
    largest = max(families.values(), key=len, default=[])
    return largest if len(largest) > 1 else []


def _prefixed(numbers: Sequence[str]) -> list[str]:
    """Return the columns that share a first part of their names, such as clip_a, clip_b, if these are most columns."""
    prefix, count = Counter(re.split(r"[\W_]", name)[0] for name in numbers).most_common(1)[0]
    family = [name for name in numbers if re.split(r"[\W_]", name)[0] == prefix]
    return family if count > _MOST * len(numbers) else []


def _words(name: str) -> set[str]:
    """Return the words of a column's name, split at underscores, spaces, capitals and digits."""
    return set(re.sub(r"([a-z])([A-Z])", r"\1 \2", re.sub(r"[\W\d_]+", " ", name)).lower().split())


def _pattern(names: Sequence[str], others: Sequence[str]) -> str:
    """Return a pattern for --features that stands for these columns, and not for others."""
    stems = {re.sub(r"\d+$", "", name) for name in names}
    patterns = [f"{stem}{end}" for stem in stems for end in ("*", "[0-9]*")] if len(stems) == 1 else []
    fit = [pattern for pattern in patterns if not fnmatch.filter(set(others) - set(names), pattern)]
    if fit and len(names) > _LISTED:
        return fit[0]
    return ",".join(names[:_LISTED]) + ",..." * (len(names) > _LISTED)


def _values(path: str, table: Any, columns: Sequence[str], missing_as_nan: bool) -> NDArray[Any]:
    """Return the features as one array ``(n, d)``; missing numbers are refused or become NaN."""
    if table.num_rows == 0:
        raise GannetError(f"{path} is empty: it has no rows")
    if is_column_of_lists(table[columns[0]].type):
        return column_of_lists(path, table[columns[0]], missing_as_nan)
    if not missing_as_nan and any(table[name].null_count for name in columns):
        raise GannetError(f"{path} has missing values; fill or drop these rows, or skip them with --skip-nan")
    return np.column_stack([table[name].to_numpy() for name in columns])


def column_of_lists(path: str, column: Any, missing_as_nan: bool = False) -> NDArray[Any]:
    """Return a column of equally long lists as one array, without a Python object per value."""
    blocks = []
    widths: set[int] = set()
    for chunk in column.chunks:
        present = chunk.drop_null()
        values = present.flatten()
        if (chunk.null_count or values.null_count) and not missing_as_nan:
            raise GannetError(f"{path} has missing values; fill or drop these rows, or skip them with --skip-nan")
        if hasattr(chunk.type, "list_size"):
            widths.add(chunk.type.list_size)
        elif len(present):
            widths.update(np.unique(np.diff(present.offsets.to_numpy(zero_copy_only=False))).tolist())
        if len(widths) > 1:
            raise GannetError(f"{path} has lists of different lengths; all rows need the same features")
        blocks.append((chunk.is_valid().to_numpy(zero_copy_only=False), values.to_numpy(zero_copy_only=False)))
    width = widths.pop() if widths else 0
    rows = []
    for valid, values in blocks:
        block = values.reshape(int(valid.sum()), width)
        if len(block) < len(valid):
            whole = np.full((len(valid), width), np.nan, block.dtype if block.dtype.kind == "f" else np.float64)
            whole[valid] = block
            block = whole
        rows.append(block)
    return np.concatenate(rows)


def _is_image(name: str, kind: Any) -> bool:
    """Return whether a column holds images: bytes and a path in a struct, or bytes under a usual name."""
    import pyarrow as pa

    is_bytes = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return is_cell_of_images(kind) or (name in _IMAGE_NAMES and is_bytes)


def is_cell_of_images(kind: Any) -> bool:
    """Return whether a column holds images as `datasets` stores them, with the fields ``bytes`` and ``path``."""
    import pyarrow as pa

    return bool(pa.types.is_struct(kind)) and {part.name for part in kind} == {"bytes", "path"}


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    is_view = getattr(pa.types, "is_string_view", lambda _: False)
    is_bytes_view = getattr(pa.types, "is_binary_view", lambda _: False)
    kinds = (pa.types.is_string, pa.types.is_large_string, is_view, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in (*kinds, is_bytes_view)) or str(kind) == "extension<arrow.uuid>"


def _is_integer(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind))


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def is_column_of_lists(kind: Any) -> bool:
    """Return whether a column holds lists of numbers."""
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_list(kind) for is_list in lists) and _is_number(kind.value_type)
