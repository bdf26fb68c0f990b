"""Protocols: sizes, rules and reproducibility of splits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gannet.errors import GannetError
from gannet.evaluation.protocols import Protocol, all_protocols, get_protocol, own_protocol
from gannet.evaluation.published import published, published_sweep

CIFAR = np.repeat(np.arange(10), 6000)
CIFAR_SIZES = {
    "cifar10-uhga": (1000, 59_000, 10_000),
    "cifar10-1000q-54000db-5000train": (1000, 54_000, 5000),
    "cifar10-1000q-59000db-5000train": (1000, 59_000, 5000),
    "cifar10-10000q-50000db-50000train": (10_000, 50_000, 50_000),
    "cifar10-10000q-50000db-5000train": (10_000, 50_000, 5000),
}


def small(rule="random", **changes):
    values = {"n_queries": 6, "n_train": 9, **changes}
    return Protocol("small", "own", "none", "none", rule, **values)


@pytest.mark.parametrize(("name", "sizes"), CIFAR_SIZES.items())
def test_cifar10_splits_have_the_sizes_of_their_names(name, sizes):
    protocol = get_protocol(name)
    split = protocol.split(CIFAR)
    assert (len(split.query), len(split.database), len(split.train)) == sizes
    assert not np.intersect1d(split.query, np.union1d(split.database, split.train)).size
    for rows in (split.query, split.database, split.train):
        assert len(np.unique(rows)) == len(rows)
        if protocol.rule == "stratified":
            assert np.ptp(np.bincount(CIFAR[rows])) == 0
    assert np.isin(split.train, split.database).all() == protocol.train_in_database


def test_the_default_split_is_frozen():
    # Published results name this digest: another split is another protocol.
    assert get_protocol("cifar10-uhga").split(CIFAR).digest == "fef1a27a7ef394b0"


def test_every_protocol_says_where_it_comes_from():
    for name, protocol in all_protocols().items():
        assert protocol.name == name
        assert len(protocol.citation) > 20
        assert protocol.reading.endswith(".")
    assert "gives no split" in get_protocol("cifar10-uhga").reading
    assert get_protocol("nuswide21-uhga").map_at == 5000


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=0, max_size=80),
    st.sampled_from(["random", "stratified"]),
    st.booleans(),
    st.integers(0, 5),
)
def test_splits_never_overlap_and_do_not_change(extra, rule, inside, seed):
    labels = np.array([0, 1, 2, 3] * 6 + extra)
    protocol = small(rule, n_queries=4, n_train=8, train_in_database=inside, seed=seed)
    split = protocol.split(labels)
    again = protocol.split(labels)
    parts = [split.query, split.database] if inside else [split.query, split.database, split.train]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert not np.intersect1d(split.query, split.train).size
    assert len(split.query) == 4
    assert len(split.train) == 8
    assert split.digest == again.digest
    np.testing.assert_array_equal(split.train, again.train)


def test_a_random_split_does_not_depend_on_the_labels():
    rng = np.random.default_rng(0)
    one, other = (small().split(rng.integers(0, 5, 60)) for _ in range(2))
    for name in ("query", "database", "train"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.digest != other.digest


def test_the_digest_ignores_the_names_of_classes():
    labels = np.repeat([4, 2, 9], 20)
    assert small().split(labels).digest == small().split(np.array(["b", "c", "a"])[np.repeat([0, 1, 2], 20)]).digest
    assert small(seed=1).split(labels).digest != small().split(labels).digest


def test_given_parts_are_taken():
    parts = {"query": np.array([1, 3]), "database": np.array([0, 2, 4, 5]), "train": np.array([6, 0])}
    split = small("given", n_queries=None).split(np.zeros((7, 2)), parts)
    assert split.query.tolist() == [1, 3]
    assert split.train.tolist() == [0, 6]
    drawn = small("given", n_queries=1, n_train=3).split(np.zeros(7), {k: parts[k] for k in ("query", "database")})
    assert len(drawn.query) == 1
    assert np.isin(drawn.train, parts["database"]).all()


@pytest.mark.parametrize(
    ("protocol", "labels", "message"),
    [
        (small(), np.zeros(15), None),
        (small(), np.zeros(14), "needs 15 items"),
        (small(n_train=None), np.zeros(6), "needs 7 items"),
        (small("stratified", n_queries=2, n_train=4), np.array([0, 0, 0, 1, 1]), "3 items of each class, not 2"),
        (small("stratified"), np.zeros((30, 2)), "needs one class per item"),
        (small("given"), np.zeros(30), "has none"),
        (small(n_items=7), np.zeros(30), "all 7 images"),
        (small(train_in_database=False), np.zeros(15), "no part of the split may be empty"),
    ],
)
def test_too_few_items_are_one_clear_line(protocol, labels, message):
    if message is None:
        assert len(protocol.split(labels).train) == 9
    else:
        with pytest.raises(GannetError, match=message):
            protocol.split(labels)


def test_own_data_and_unknown_names():
    split = own_protocol("photos", 45, has_parts=False, multi_label=False).split(np.zeros(45))
    assert (len(split.query), len(split.database), len(split.train)) == (4, 41, 41)
    assert own_protocol("photos", 45, has_parts=True, multi_label=True).rule == "given"
    with pytest.raises(GannetError, match="did you mean 'cifar10-uhga'"):
        get_protocol("cifar10-uhgaa")


def test_the_papers_figures_ship():
    assert published("cifar10-uhga")["uhga"] == {16: 0.2936, 32: 0.3233, 64: 0.3499, 128: 0.3661}
    assert published("cifar10-uhga")["itq"][16] == 0.1999
    assert published("nuswide21-uhga")["ssdh+ga"][128] == 0.7032
    assert 128 not in published("nuswide21-uhga")["sph"]  # illegible in print
    assert published("digits") == published_sweep("digits") == {}
    assert published_sweep("cifar10-uhga")[0.2][16] == 0.294
    assert len(published_sweep("nuswide21-uhga")) == 10
