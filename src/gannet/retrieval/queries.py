"""Read queries: ids, paths of items, image files, rows of a matrix, and whole folders, archives and matrices."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gannet.codes import Ids
from gannet.collection.feature_rows import half_unit
from gannet.collection.items import Item
from gannet.collection.stored_model import read_model
from gannet.data.base import ImageSource, absolute
from gannet.data.options import ReadOptions
from gannet.encoders import Floats
from gannet.errors import GannetError
from gannet.retrieval.contents import read_digests
from gannet.retrieval.searchable import Searchable

if TYPE_CHECKING:
    from gannet.backbones import TextNetworkLike
    from gannet.backbones.texts import TextRecord
    from gannet.data import RawImage
    from gannet.image_hasher import ImageHasher
    from gannet.model import Model

log = logging.getLogger("gannet")

_LARGEST_ID = 2**63 - 1
_DEFAULTS = ReadOptions()


def is_id(query: str) -> bool:
    """Return whether a query is the id of an item."""
    return query.isascii() and query.isdigit()


def parse_id(text: str) -> int:
    """Return the id that a string of digits represents."""
    if len(text) > 19 or int(text) > _LARGEST_ID:
        raise GannetError(f"no item has the id {text}: ids are at most {_LARGEST_ID}")
    return int(text)


@dataclass
class Query:
    """A query, whose fields are filled in when it is read.

    A query that was read has either an ``item``, whose stored code answers, or a code ``(w,)`` of its own with its
    ``values``: features ``(d,)`` or pixels. Its bits have ``weights (n_bits,)`` if they were asked for and the query is
    a text, or an image or a row that could be read. A query that cannot be answered has an ``error``. ``changed`` is
    set if an item has the path of the query, but was indexed with other content. A query that is a text has the
    model's record of its text network, ``texts``.
    """

    name: str
    read: Callable[[], RawImage] | None = None
    row: npt.NDArray[Any] | None = None
    item: int | None = None
    code: npt.NDArray[np.uint8] | None = None
    values: npt.NDArray[Any] | None = None
    weights: Floats | None = None
    error: str | None = None
    changed: bool = False
    texts: TextRecord | None = None


def read_queries(
    collection: Searchable, texts: Sequence[str], weigh: bool = False, options: ReadOptions = _DEFAULTS
) -> list[Query]:
    """Read queries; the content of a file counts, so that one file has one answer by whichever path it is given.

    A folder of images, an archive or a matrix becomes one query per item. Images are read and encoded together, as by
    ``gannet index``. The collection's model is only read if a query needs it. An image whose content the collection
    holds is answered from the stored code. So is the path of an item whose file cannot be read anymore. ``options`` say
    how sources of several queries, rows of matrices and images are read.

    With ``weigh``, the values of every image and row are scored by the model, so that an image is also encoded if the
    collection holds its content: its features are usually in the cache. If the network is missing, such an image is
    still answered from the stored code, without weights.
    """
    reader = _Reader(collection, weigh, options)
    return reader.read([query for text in texts for query in reader.expand(text)])


class _Reader:
    """Reads queries of one collection."""

    def __init__(self, collection: Searchable, weigh: bool, options: ReadOptions) -> None:
        self._collection, self._weigh, self._options = collection, weigh, options
        self._unweighed: list[str] = []  # why images of the collection have no weights, one reason per image

    def expand(self, text: str) -> list[Query]:
        """Return the queries that a text stands for, not read yet."""
        try:
            return self._expand(text)
        except GannetError as error:
            return [Query(text, error=str(error))]

    def _expand(self, text: str) -> list[Query]:
        from gannet.data import MatrixSource, open_row
        from gannet.data.opening import open_several

        if is_id(text):
            return [Query(text, item=parse_id(text))]
        item = self._items([text]).get(text)
        try:
            row = open_row(text, self._options.features)
        except GannetError:
            if item is None:
                raise
            return [Query(text, item=item.id)]
        if row is not None:
            return [Query(text, row=row[0])]
        try:
            source = open_several(text, self._options) if text and item is None else None
        except GannetError:
            if not set(text) & set("#!"):
                raise
            source = None  # the text names one item of a source, such as mydb://table#17
        for note in () if source is None else source.notes:
            log.warning("%s: %s", text, note)
        if isinstance(source, MatrixSource):
            rows = zip(source.paths, source.features, strict=True)
            return [Query(path, row=row) for path, row in rows]
        if source is not None:
            left_out = [Query(skipped.path, error=f"{skipped.path}: {skipped.reason}") for skipped in source.skipped]
            reads = (functools.partial(source.read, i) for i in range(len(source)))
            return [*(Query(path, read=read) for path, read in zip(source.paths, reads, strict=True)), *left_out]
        return [Query(text, read=functools.partial(self._read_item, text))]

    def _read_item(self, path: str) -> RawImage:
        from gannet.data import read_item
        from gannet.data.images import PartialImage

        raw = read_item(path)
        return PartialImage(raw) if self._options.truncated and isinstance(raw, bytes) else raw

    def read(self, queries: list[Query]) -> list[Query]:
        """Fill in queries, and log if images of the collection are answered from stored codes alone."""
        self._read(queries)
        if self._unweighed:
            more = f" (and so are {len(self._unweighed) - 1:,} more)" if len(self._unweighed) > 1 else ""
            log.warning("%s; its stored code is used, by distance%s", self._unweighed[0], more)
        return queries

    def _read(self, queries: list[Query]) -> None:
        items = self._items([query.name for query in queries if query.read or query.row is not None])
        images = [query for query in queries if query.read is not None]
        rows = [query for query in queries if query.row is not None]
        # A model that cannot be read is an error of the queries that need it; others are still answered.
        if rows or images:
            try:
                of_images = self._model.backbone is not None
            except GannetError as error:
                for query in (*rows, *images):
                    _answer_from(query, items.get(query.name), str(error))
                return
            if of_images:
                for query in rows:
                    query.error = f"{query.name} is a row of a matrix, but this collection is of images: give an image"
                self._read_images(images, items)
            else:
                for query in images:
                    _answer_from(
                        query,
                        items.get(query.name),
                        f"{query.name} is no item of this collection, and it takes vectors, not images: give an id or "
                        "a row of a matrix, as in vectors.npy#17",
                    )
                self._read_rows(rows, items)

    def _read_images(self, queries: Sequence[Query], items: Mapping[str, Item]) -> None:
        digests = read_digests({i: query.read for i, query in enumerate(queries) if query.read is not None})
        found = {digest for digest in digests.values() if isinstance(digest, bytes)}
        known = self._collection.find_digests(list(found))
        encoded = []
        for i, query in enumerate(queries):
            digest, item = digests[i], items.get(query.name)
            if isinstance(digest, GannetError):
                reason = f"{query.name} is neither an id, an item nor an image that can be read: {digest}"
                _answer_from(query, item, reason)
                continue
            query.changed = item is not None and item.digest not in (None, digest)
            if digest in known:
                query.item = known[digest][0]
            if query.item is None or self._weigh:
                encoded.append(query)
        if not encoded:
            return
        try:
            found_features = self._hasher.features(_Images(encoded))
        except GannetError as error:
            for query in encoded:
                self._fail(query, f"{query.name} cannot be encoded: {error}")
            return
        for skipped in found_features.skipped:
            query = encoded[_place(skipped.path)]
            self._fail(query, f"{query.name} cannot be used as a query: {skipped.reason}")
        self._encode([encoded[_place(path)] for path in found_features.paths], found_features.values)

    def _read_rows(self, queries: Sequence[Query], items: Mapping[str, Item]) -> None:
        by_length: dict[tuple[int, np.dtype[Any]], list[Query]] = {}
        for query in queries:
            assert query.row is not None
            by_length.setdefault((len(query.row), query.row.dtype), []).append(query)
        for alike in by_length.values():
            self._encode(alike, np.array([query.row for query in alike]))
        named = [(query, items[query.name]) for query in queries if query.name in items and query.code is not None]
        stored = self._collection.codes([item.id for _, item in named])
        for (query, _), code in zip(named, stored, strict=True):
            query.changed = bool((query.code != code).any())

    def _encode(self, queries: Sequence[Query], values: npt.NDArray[Any]) -> None:
        """Encode values ``(n, ...)`` together; if some cannot be encoded, each one by itself."""
        try:
            codes = self._model.encoder.encode(values)
            weights = self._model.bit_weights(values) if self._weigh else [None] * len(values)
        except GannetError as error:
            if len(queries) == 1:
                self._fail(queries[0], f"{queries[0].name} cannot be encoded: {error}")
                return
            for i, query in enumerate(queries):
                self._encode([query], values[i : i + 1])
            return
        for query, code, row, of_bits in zip(queries, codes, values, weights, strict=True):
            query.weights = of_bits
            if query.item is None:
                query.code, query.values = code, row

    def _fail(self, query: Query, error: str) -> None:
        """Give a query an error, unless a stored code answers it."""
        if query.item is None:
            query.error = error
        else:
            self._unweighed.append(error)

    def _items(self, names: Sequence[str]) -> dict[str, Item]:
        """Return the first item with each name, or with its absolute path, by name."""
        wanted = {name: (name, absolute(name)) for name in names if name}
        found: dict[str, Item] = {}
        for item in self._collection.items_at(list({path for paths in wanted.values() for path in paths})):
            if item.path not in found or item.id < found[item.path].id:
                found[item.path] = item
        return {
            name: found[name if name in found else path]
            for name, (_, path) in wanted.items()
            if {name, path} & found.keys()
        }

    @functools.cached_property
    def _model(self) -> Model:
        return read_model(self._collection)

    @functools.cached_property
    def _hasher(self) -> ImageHasher:
        from gannet.image_hasher import ImageHasher

        return ImageHasher(model=self._model)


def read_texts(
    collection: Searchable, texts: Sequence[str], weigh: bool = False, text_network: TextNetworkLike | None = None
) -> list[Query]:
    """Read queries that are texts, with the text network of the collection's model; see `read_queries`."""
    if not texts:
        return []
    from gannet.image_hasher import ImageHasher

    try:
        model = read_model(collection)
        features = ImageHasher(model=model, text_network=text_network).text_features(texts)
        codes = model.encoder.encode(features)
        weights = model.bit_weights(features) if weigh else [None] * len(texts)
    except GannetError as error:
        return [Query(text, error=f"the text {text!r} cannot be searched for: {error}") for text in texts]
    return [
        Query(text, code=code, values=row, weights=of_bits, texts=model.texts)
        for text, code, row, of_bits in zip(texts, codes, features, weights, strict=True)
    ]


def cosines(collection: Searchable, query: Query, ids: Ids) -> Floats:
    """Return the cosines ``(m,)`` of the features of a query that was read and those that a collection keeps of items.

    The features of a text and those of items are each centered by their own mean; see `TextRecord`.
    """
    items = collection.features(ids).astype(np.float32)
    if query.item is not None:
        asked = collection.features([query.item])
    else:
        assert query.values is not None
        if query.texts is not None:
            return query.texts.cosines(query.values, items)
        asked = half_unit(query.values.reshape(1, -1))
    return np.asarray(items @ asked[0].astype(np.float32))


class _Images(ImageSource):
    """The images of queries, named by their places."""

    def __init__(self, queries: Sequence[Query]) -> None:
        super().__init__("queries", [str(i) for i in range(len(queries))], "#")
        self._queries = queries

    def read(self, index: int) -> RawImage:
        read = self._queries[index].read
        assert read is not None
        return read()


def _place(path: str) -> int:
    return int(path.rpartition("#")[2])


def _answer_from(query: Query, item: Item | None, error: str) -> None:
    """Answer a query from the stored code of an item, or give it an error if there is no item."""
    if item is None:
        query.error = error
    else:
        query.item = item.id
