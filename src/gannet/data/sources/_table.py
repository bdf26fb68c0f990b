"""Features and names of items in the columns of a table: a Parquet file, Arrow files or a data set in memory."""

from __future__ import annotations

import fnmatch
import json
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import reading
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
from gannet.data.options import ReadOptions
from gannet.errors import GannetError

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
#: Number of rows in which a sample is looked for at a time.
ROWS_AT_ONCE = 1 << 14


class Table(ABC):
    """The columns of a table, by its schema; values are read by column.

    ``kinds`` are the types by name, ``index`` the columns that hold the index of a pandas frame, and ``problem`` the
    message about a table that cannot be read.
    """

    problem = "is not readable"

    def __init__(self, path: str, schema: Any, n_rows: int) -> None:
        if len(set(schema.names)) < len(schema.names):
            raise GannetError(f"{path} has several columns of one name: rename them")
        self.path, self.n_rows = path, n_rows
        self.kinds: dict[str, Any] = {field.name: field.type for field in schema}
        pandas = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
        index = [name for name in pandas.get("index_columns", ()) if isinstance(name, str) and name in self.kinds]
        self.index = [*index, *(name for name in self.kinds if re.fullmatch(r"__index_level_\d+__", name))]

    @abstractmethod
    def read(self, columns: Sequence[str]) -> Any:
        """Return all rows of some columns as an Arrow table."""

    def batches(self, columns: Sequence[str]) -> Iterable[Any]:
        """Return all rows of some columns in record batches of limited size."""
        return self.read(columns).to_batches(ROWS_AT_ONCE)  # type: ignore[no-any-return]


def open_rows(table: Table, options: ReadOptions, rows: NDArray[np.int64] | None) -> MatrixSource:
    """Return the matrix in a table, or some of its rows, which are read in bounded memory."""
    path, kinds = table.path, table.kinds
    with reading(table.problem, path):
        names = _names_column(table, options.names)
        columns = _feature_columns(table, {*table.index, *([names] if names else ())}, options.features)
        # A name with a dot is read as the path of a nested field, so that the columns are picked afterwards.
        read = _read(table, [*columns, *([names] if names and names not in columns else ())], rows)
        features = _values(path, read, columns, options.skip_nan)
        values = read[names].to_pylist() if names else None
    if names is None and options.names is not None:
        values = names_drawn(path, names_of(options.names, kinds), rows, table.n_rows)
    width = 0 if features.ndim < 2 else features.shape[1]
    note = f"{width:,} features: {shown(columns)}" + (f"; names: {names}" if names else "")
    left = [name for name in kinds if name != names and name not in columns]
    note += f"; not taken: {shown(left)}" if left else ""
    return make_source(path, features, values, options, [note], f"the names in column {names}", rows, table.n_rows)


def _read(table: Table, columns: Sequence[str], rows: NDArray[np.int64] | None) -> Any:
    """Return some columns as an Arrow table: all rows, or those at ascending places."""
    if rows is None:
        return table.read(columns)
    import pyarrow as pa

    parts, start = [], 0
    for batch in table.batches(columns):
        first, last = np.searchsorted(rows, (start, start + len(batch)))
        parts.append(batch.take(pa.array(rows[first:last] - start)))
        start += len(batch)
    return pa.Table.from_batches(parts)


def names_in(table: Table, column: str | None = None) -> list[Any] | None:
    """Return the names of items in a table without features; None if it has no column for them."""
    with reading(table.problem, table.path):
        names = _names_column(table, column)
        return None if names is None else list(table.read([names])[names].to_pylist())


def _names_column(table: Table, chosen: str | None) -> str | None:
    """Return the column that names the items, if any: a text column by its name, a text index, or one of numbers."""
    kinds = table.kinds
    if chosen is not None:
        return chosen if chosen in kinds else None
    texts = [name for name, kind in kinds.items() if _is_text(kind)]
    by_text = first_item_name(texts) or next((name for name in table.index if name in texts), None)
    return by_text or first_item_name(name for name, kind in kinds.items() if _is_number(kind))


def _feature_columns(table: Table, others: set[str], chosen: Sequence[str]) -> list[str]:
    """Return the columns of features: one of number lists, or numeric ones."""
    path, kinds = table.path, table.kinds
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


def image_columns(kinds: dict[str, Any]) -> list[str]:
    """Return the columns of images among columns of these types; none if there is one of number lists."""
    if any(map(is_column_of_lists, kinds.values())):
        return []
    return [name for name, kind in kinds.items() if _is_image(name, kind)]


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
