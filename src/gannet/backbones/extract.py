"""From a source of images to a matrix of features: read, look up in the cache, decode, encode, store."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.backbones.cache import FeatureCache
from gannet.backbones.extractor import Extractor
from gannet.errors import GannetError
from gannet.support.progress import progress
from gannet.support.threads import cores

Image = NDArray[np.uint8]

_CHUNK = 8
"""Images that a thread loads at a time: enough to make handing them over cheap, few enough to keep in memory."""

_STORE_EVERY = 256
"""Features that are written to the cache in one transaction."""


@dataclass(frozen=True)
class Extracted:
    """Features ``values (m, d)`` and content digests of the ``m`` images that could be read.

    ``kept (m,)`` are their positions in the source, ascending. ``failures`` are the positions of the other images, each
    with the reason.
    """

    values: NDArray[np.float32]
    kept: NDArray[np.int64]
    failures: list[tuple[int, str]]
    digests: list[bytes]


@dataclass(frozen=True)
class Loaded:
    """An image as loaded by a thread: its features if they are cached, else its pixels, or the reason for a failure."""

    index: int
    digest: bytes = b""
    features: NDArray[np.float32] | None = None
    image: Image | None = None
    failure: str | None = None


def extract(
    n: int,
    read: Callable[[int], Any],
    decode: Callable[[Any, int], Image],
    digest: Callable[[Any], bytes],
    extractor: Extractor,
    cache: FeatureCache | None = None,
    description: str = "Encoding",
) -> Extracted:
    """Return the features of ``n`` images: from the cache if it has them, else encoded and added to it.

    Threads read and decode images while earlier ones are encoded; only a few images are in memory at once. An image in
    the cache is read, to determine its digest, but not decoded. After an interruption, the cache has the images encoded
    so far.

    ``read`` maps a position to a raw image, which ``digest`` maps to its digest, and ``decode``, with a size, to uint8
    pixels ``(h, w, 3)``. They are called from several threads. A `GannetError` that ``read`` or ``decode`` raises
    becomes a failure of that image.
    """
    values = np.empty((n, extractor.n_features), np.float32)
    kept: list[int] = []
    digests: list[bytes] = []
    failures: list[tuple[int, str]] = []
    encoding: deque[int] = deque()  # rows of `values` whose images are being encoded
    size = extractor.size

    with progress(n, description, "img") as bar:

        def unknown() -> Generator[Image]:
            for item in load(n, read, lambda raw: decode(raw, size), digest, cache):
                if item.failure is not None:
                    failures.append((item.index, item.failure))
                    bar.update(1)
                    continue
                kept.append(item.index)
                digests.append(item.digest)
                if item.features is not None:
                    values[len(kept) - 1] = item.features
                    bar.update(1)
                elif item.image is not None:
                    encoding.append(len(kept) - 1)
                    yield item.image

        fresh: list[int] = []  # rows of `values` that the cache does not have yet
        images = unknown()
        try:
            for block in extractor.stream(images):
                rows = [encoding.popleft() for _ in block]
                values[rows] = block
                fresh += rows
                bar.update(len(rows))
                if len(fresh) >= _STORE_EVERY:
                    _store(cache, digests, values, fresh)
        finally:
            _store(cache, digests, values, fresh)
            images.close()
    return Extracted(values[: len(kept)], np.array(kept, np.int64), failures, digests)


def load(
    n: int,
    read: Callable[[int], Any],
    decode: Callable[[Any], Image],
    digest: Callable[[Any], bytes],
    cache: FeatureCache | None = None,
) -> Iterator[Loaded]:
    """Load ``n`` images with several threads, in order, only as many in advance as keep the threads busy."""
    n_threads = min(cores(), 16)
    pool = ThreadPoolExecutor(n_threads, thread_name_prefix="gannet-load")
    waiting: deque[Future[list[Loaded]]] = deque()
    try:
        for start in range(0, n, _CHUNK):
            places = range(start, min(start + _CHUNK, n))
            waiting.append(pool.submit(_load_chunk, places, read, decode, digest, cache))
            if len(waiting) > 2 * n_threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _load_chunk(
    places: range,
    read: Callable[[int], Any],
    decode: Callable[[Any], Image],
    digest: Callable[[Any], bytes],
    cache: FeatureCache | None,
) -> list[Loaded]:
    raws: dict[int, Any] = {}
    loaded: dict[int, Loaded] = {}
    for index in places:
        try:
            raws[index] = read(index)
        except GannetError as error:
            loaded[index] = Loaded(index, failure=str(error))
    names = {index: digest(raw) for index, raw in raws.items()}
    if cache is not None:
        found, values = cache.get_many(list(names.values()))
        known = [index for index, is_found in zip(names, found, strict=True) if is_found]
        for index, row in zip(known, values, strict=True):
            loaded[index] = Loaded(index, names[index], features=row)
            del raws[index]
    for index, raw in raws.items():
        try:
            loaded[index] = Loaded(index, names[index], image=decode(raw))
        except GannetError as error:
            loaded[index] = Loaded(index, failure=str(error))
    return [loaded[index] for index in places]


def _store(cache: FeatureCache | None, digests: list[bytes], values: NDArray[np.float32], rows: list[int]) -> None:
    """Store the rows in the cache and empty the list."""
    if cache is not None and rows:
        cache.put_many([digests[row] for row in rows], values[rows])
    rows.clear()
