import hashlib
import threading
import time

import numpy as np
import pytest

from gannet.backbones.cache import FeatureCache
from gannet.backbones.extract import extract, load
from gannet.backbones.extractor import FeatureExtractor
from gannet.errors import GannetError

N = 50
pytest.importorskip("openvino")


class Source:
    """Raw images are their places as text; some cannot be read or decoded. It counts what it is asked."""

    def __init__(self, n=N, unreadable=(), undecodable=()):
        self.n = n
        self.unreadable, self.undecodable = unreadable, undecodable
        self.reads = 0
        self.decodes = 0
        self.lock = threading.Lock()

    def read(self, i):
        with self.lock:
            self.reads += 1
        if i in self.unreadable:
            raise GannetError("no permission")
        return b"%d" % i

    def decode(self, raw, size):
        with self.lock:
            self.decodes += 1
        time.sleep(0.0005 * (int(raw) % 3))  # so that threads finish out of order
        if int(raw) in self.undecodable:
            raise GannetError("truncated")
        return np.random.default_rng(int(raw)).integers(0, 256, (size, size, 3), dtype=np.uint8)

    @staticmethod
    def digest(raw):
        return hashlib.sha256(raw).digest()

    def extract(self, extractor, cache=None):
        return extract(self.n, self.read, self.decode, self.digest, extractor, cache)


@pytest.fixture
def extractor(tiny, tiny_weights):
    return FeatureExtractor(tiny, tiny_weights, device="cpu")


@pytest.fixture
def expected(extractor):
    source = Source()
    return extractor(np.stack([source.decode(source.read(i), 16) for i in range(N)]))


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, N])
def test_features_in_the_sources_order(n, extractor, expected):
    result = Source(n).extract(extractor)
    np.testing.assert_array_equal(result.values, expected[:n])
    assert result.values.shape == (n, 5)
    assert result.kept.tolist() == list(range(n))
    assert result.kept.dtype == np.int64
    assert result.digests == [Source.digest(b"%d" % i) for i in range(n)]
    assert result.failures == []


def test_failures_are_named_and_the_rest_goes_on(extractor, expected):
    result = Source(unreadable={0, 9}, undecodable={8, 49}).extract(extractor)
    assert result.failures == [
        (0, "no permission"),
        (8, "truncated"),
        (9, "no permission"),
        (49, "truncated"),
    ]
    kept = [i for i in range(N) if i not in {0, 8, 9, 49}]
    assert result.kept.tolist() == kept
    np.testing.assert_array_equal(result.values, expected[kept])
    assert result.digests == [Source.digest(b"%d" % i) for i in kept]


def test_all_failing_gives_no_rows(extractor):
    result = Source(unreadable=range(N)).extract(extractor)
    assert result.values.shape == (0, 5)
    assert len(result.failures) == N


def test_the_second_call_decodes_and_encodes_nothing(extractor, expected, tiny, tiny_weights):
    with FeatureCache(extractor.cache_key, 5) as cache:
        Source().extract(extractor, cache)
    again = Source()
    fresh = FeatureExtractor(tiny, tiny_weights, device="cpu")
    with FeatureCache(fresh.cache_key, 5) as cache:
        result = again.extract(fresh, cache)
    np.testing.assert_array_equal(result.values, expected)
    assert again.decodes == 0
    assert "engine" not in vars(fresh)


def test_cached_and_new_images_mix(extractor, expected):
    with FeatureCache(extractor.cache_key, 5) as cache:
        known = [3, 4, 8, 30, 49]
        cache.put_many([Source.digest(b"%d" % i) for i in known], expected[known])
        source = Source(unreadable={5})
        result = source.extract(extractor, cache)
    kept = [i for i in range(N) if i != 5]
    np.testing.assert_array_equal(result.values, expected[kept])
    assert source.decodes == N - len(known) - 1


def test_features_from_before_an_interruption_are_kept(extractor):
    class Interrupted(Source):
        def decode(self, raw, size):
            if int(raw) == 45:
                raise KeyboardInterrupt
            return super().decode(raw, size)

    with FeatureCache(extractor.cache_key, 5) as cache:
        with pytest.raises(KeyboardInterrupt):
            Interrupted().extract(extractor, cache)
        again = Source()
        again.extract(extractor, cache)
    assert again.decodes < N


def test_an_error_that_is_not_the_images_is_raised(extractor):
    class Broken(Source):
        def decode(self, raw, size):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Broken().extract(extractor)


def test_loading_stays_a_bounded_way_ahead():
    source = Source(n=10_000)
    items = load(source.n, source.read, lambda raw: source.decode(raw, 2), source.digest)
    assert [next(items).index for _ in range(20)] == list(range(20))
    items.close()
    assert source.reads < 1000
