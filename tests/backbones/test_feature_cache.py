import hashlib
import multiprocessing
import sqlite3

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gannet.backbones.cache import FeatureCache


def digests(*names):
    return [hashlib.sha256(str(name).encode()).digest() for name in names]


def rows(n, d=3):
    return np.random.default_rng(n).standard_normal((n, d)).astype(np.float32)


def test_stored_features_are_found_in_the_given_order(tmp_path):
    values = rows(1203)
    names = digests(*range(1203))
    with FeatureCache("key", 3, tmp_path) as cache:
        cache.put_many(names, values)
        asked = [*names[::-1], *digests("unknown"), names[5]]
        found, got = cache.get_many(asked)
    assert found.tolist() == [True] * 1203 + [False, True]
    np.testing.assert_array_equal(got, np.concatenate([values[::-1], values[5:6]]))


def test_features_outlive_the_process_and_keys_are_apart(tmp_path):
    with FeatureCache("one", 3, tmp_path) as cache:
        cache.put_many(digests("a"), rows(1))
    with FeatureCache("one", 3, tmp_path) as again, FeatureCache("two", 3, tmp_path) as other:
        assert again.get_many(digests("a"))[0].all()
        assert not other.get_many(digests("a"))[0].any()


def test_nothing_asked_nothing_found(tmp_path):
    with FeatureCache("key", 3, tmp_path) as cache:
        found, values = cache.get_many([])
        cache.put_many([], np.empty((0, 3), np.float32))
    assert found.shape == (0,)
    assert values.shape == (0, 3)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30))
def test_the_cache_behaves_as_a_dictionary(tmp_path_factory, steps):
    model: dict[int, np.ndarray] = {}
    with FeatureCache("key", 2, tmp_path_factory.mktemp("cache")) as cache:
        for step, (is_put, name) in enumerate(steps):
            if is_put:
                model[name] = np.array([step, name], np.float32)
                cache.put_many(digests(name), model[name][None])
            else:
                found, values = cache.get_many(digests(name))
                assert found[0] == (name in model)
                if found[0]:
                    np.testing.assert_array_equal(values[0], model[name])


def damage_header(path):
    path.write_bytes(b"this is no database" * 100)


def damage_pages(path):
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def foreign_table(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE features (something_else)")
    connection.close()


@pytest.mark.parametrize("damage", [damage_header, damage_pages, foreign_table])
def test_a_damaged_file_is_replaced_with_one_warning(tmp_path, caplog, damage):
    with FeatureCache("key", 3, tmp_path) as cache:
        cache.put_many(digests(*range(100)), rows(100))
    damage(cache.path)
    with FeatureCache("key", 3, tmp_path) as cache:
        assert not cache.get_many(digests(*range(100)))[0].any()
        cache.put_many(digests("a"), rows(1))
        assert cache.get_many(digests("a"))[0].all()
    assert len(caplog.records) == 1
    assert "damaged" in caplog.text


def test_rows_of_another_length_are_not_found(tmp_path):
    with FeatureCache("key", 3, tmp_path) as cache:
        cache.put_many(digests("a"), rows(1, d=2))
        assert not cache.get_many(digests("a"))[0].any()


def test_a_place_that_cannot_be_written_turns_the_cache_off_with_one_warning(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with FeatureCache("key", 3, blocked) as cache:
        for _ in range(3):
            cache.put_many(digests("a"), rows(1))
            assert not cache.get_many(digests("a"))[0].any()
    assert len(caplog.records) == 1
    assert "will not be cached" in caplog.text


def test_a_full_disk_turns_the_cache_off_with_one_warning(tmp_path, caplog):
    with FeatureCache("key", 3, tmp_path) as cache:
        cache._connection.execute("PRAGMA max_page_count = 8")
        for start in range(0, 2000, 500):
            cache.put_many(digests(*range(start, start + 500)), rows(500))
    assert len(caplog.records) == 1
    assert "will not be cached" in caplog.text


def put_and_get(folder, worker):
    with FeatureCache("key", 3, folder) as cache:
        for i in range(20):
            cache.put_many(digests((worker, i)), np.full((1, 3), worker, np.float32))
        found, values = cache.get_many(digests(*((worker, i) for i in range(20))))
        assert found.all()
        assert (values == worker).all()


def test_processes_share_a_file(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=put_and_get, args=(tmp_path, worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with FeatureCache("key", 3, tmp_path) as cache:
        assert cache.get_many(digests(*((w, i) for w in range(3) for i in range(20))))[0].all()
