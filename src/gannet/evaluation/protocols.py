"""Protocols: the data set, its split into queries, database and training set, and the cutoff of average precision.

Values that were measured under the same protocol can be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.errors import GannetError, unknown_name

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """The rows of the queries, the database and the training set, each in order.

    ``digest`` is a hash of the rows and of all labels. The same rows of a data set in another order have another
    digest.
    """

    query: Rows
    database: Rows
    train: Rows
    digest: str


@dataclass(frozen=True)
class Protocol:
    """A way to split a data set and to score rankings.

    Parameters
    ----------
    name : str
        Name of the protocol.
    dataset : {"cifar10", "nuswide21", "fashion-mnist", "digits", "own"}
        The data set; "own" is the user's.
    citation : str
        The source that defines the protocol.
    reading : str
        The split, and how it was chosen where the source leaves it open.
    rule : {"random", "stratified", "given"}
        How the split is drawn: at random, at random with equal numbers per class, or from the data set's own parts.
    n_queries : int, optional
        Number of queries. By default, the whole part.
    n_train : int, optional
        Number of items in the training set. By default, the whole part.
    map_at : int, optional
        Cutoff of average precision. By default, the whole ranking.
    multi_label : bool, default=False
        Whether an item can have several labels.
    train_in_database : bool, default=True
        Whether the training set is a part of the database, rather than taken out of it.
    n_items : int, optional
        Number of images that the data set must have. By default, any number.
    seed : int, default=0
        Seed of the split.

    Examples
    --------
    >>> from gannet.evaluation.protocols import Protocol
    >>> protocol = Protocol("small", "own", "none", "20 queries at random.", "random", n_queries=20, n_train=50)
    >>> split = protocol.split([0, 1] * 50)
    >>> len(split.query), len(split.database), len(split.train)
    (20, 80, 50)
    """

    name: str
    dataset: str
    citation: str
    reading: str
    rule: str
    n_queries: int | None = None
    n_train: int | None = None
    map_at: int | None = None
    multi_label: bool = False
    train_in_database: bool = True
    n_items: int | None = None
    seed: int = 0

    def split(self, labels: npt.ArrayLike, parts: Mapping[str, Rows] | None = None) -> Split:
        """Return the split of a data set, which is the same in every run.

        Parameters
        ----------
        labels : array-like of shape (n,) or (n, n_labels)
            Class ids or 0/1 rows. They influence the split only if the rule is "stratified".
        parts : mapping of str to ndarray, optional
            Rows of the data set's own parts ``query`` and ``database``, and ``train`` if it has one. Needed if the rule
            is "given".

        Returns
        -------
        Split
            The rows of each part.

        Raises
        ------
        GannetError
            If there are too few items, not the number that the protocol requires, or no parts although the rule needs
            them.
        """
        array = np.asarray(labels)
        n = len(array)
        if self.n_items is not None and n != self.n_items:
            raise GannetError(
                f"{self.name} is defined on all {self.n_items:,} images of {self.dataset}, not on {n:,}: "
                "give the whole set, or the path of your own folder as the protocol"
            )
        query, database, train = _RULES[self.rule](self, array, parts or {})
        if min(len(query), len(database), len(train)) == 0:
            raise GannetError(f"{n:,} items are too few for {self.name}: no part of the split may be empty")
        return Split(query, database, train, _digest(array, query, database, train))


def _random_split(protocol: Protocol, labels: npt.NDArray[Any], parts: Mapping[str, Rows]) -> tuple[Rows, Rows, Rows]:
    order = _random(protocol).permutation(len(labels)).astype(np.int64)
    return _cut(protocol, [order], 1)


def _stratified_split(
    protocol: Protocol, labels: npt.NDArray[Any], parts: Mapping[str, Rows]
) -> tuple[Rows, Rows, Rows]:
    if labels.ndim != 1:
        raise GannetError(f"{protocol.name} takes equal numbers per class: it needs one class per item")
    classes = np.unique(labels)
    random = _random(protocol)
    return _cut(protocol, [random.permutation(np.flatnonzero(labels == label)) for label in classes], len(classes))


def _given_split(protocol: Protocol, labels: npt.NDArray[Any], parts: Mapping[str, Rows]) -> tuple[Rows, Rows, Rows]:
    if "query" not in parts or "database" not in parts:
        raise GannetError(f"{protocol.name} takes the data set's own parts, and this one has none: train/ and test/")
    random = _random(protocol)
    query = _sample(random, parts["query"], protocol.n_queries)
    train = parts["train"] if "train" in parts else _sample(random, parts["database"], protocol.n_train)
    return query, np.sort(parts["database"]), np.sort(train)


_RULES: dict[str, Callable[[Protocol, npt.NDArray[Any], Mapping[str, Rows]], tuple[Rows, Rows, Rows]]] = {
    "random": _random_split,
    "stratified": _stratified_split,
    "given": _given_split,
}


def _random(protocol: Protocol) -> np.random.RandomState:
    # NumPy guarantees that the stream of this generator never changes, which it does not for `default_rng`.
    return np.random.RandomState(protocol.seed)


def _cut(protocol: Protocol, groups: list[Rows], n_groups: int) -> tuple[Rows, Rows, Rows]:
    """Cut each shuffled group into queries, training set and rest, with equal numbers of each from every group."""
    n_queries = (protocol.n_queries or 0) // n_groups
    stop = None if protocol.n_train is None else n_queries + protocol.n_train // n_groups
    shortest = min(len(group) for group in groups)
    if (stop or n_queries + 1) > shortest:
        raise GannetError(
            f"{protocol.name} needs {stop or n_queries + 1:,} items of each {'class' if n_groups > 1 else 'set'}, "
            f"not {shortest:,}"
        )
    database_start = n_queries if protocol.train_in_database else stop
    query, train, database = (
        np.sort(np.concatenate([group[start:end] for group in groups]))
        for start, end in ((0, n_queries), (n_queries, stop), (database_start, None))
    )
    return query, database, train


def _sample(random: np.random.RandomState, rows: Rows, n: int | None) -> Rows:
    return np.sort(rows if n is None else random.permutation(rows)[:n])


def _digest(labels: npt.NDArray[Any], *parts: Rows) -> str:
    total = hashlib.sha256()
    # Classes are numbered by first appearance, so that the digest does not depend on their names.
    classes = labels.astype("<i8") if labels.ndim == 2 else _by_first_appearance(labels)
    for array in (classes, *parts):
        total.update(f"{array.shape}".encode())
        total.update(np.ascontiguousarray(array, "<i8").tobytes())
    return total.hexdigest()[:16]


def _by_first_appearance(labels: npt.NDArray[Any]) -> Rows:
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], np.int64)


_UHGA = "Jiang, Wang, Cheng, Du, Li, Unsupervised Hashing with Gradient Attention, Symmetry 2020, 12(7), 1193"

_PROTOCOLS = (
    Protocol(
        "cifar10-uhga",
        "cifar10",
        _UHGA,
        "The paper gives no split. Here, 1,000 queries are drawn at random from all 60,000 images, the other 59,000 "
        "are the database, and 10,000 of the database, drawn at random, are the training set.",
        "random",
        n_queries=1000,
        n_train=10_000,
        n_items=60_000,
    ),
    Protocol(
        "nuswide21-uhga",
        "nuswide21",
        _UHGA,
        "The paper gives no split. Queries, database and training set are listed in test.txt, database.txt and "
        "train.txt; an image is relevant if it shares one of the 21 concepts with the query.",
        "given",
        map_at=5000,
        multi_label=True,
    ),
    Protocol(
        "cifar10-1000q-54000db-5000train",
        "cifar10",
        "DeepHash-pytorch (github.com/swuxyj), data set 'cifar10'",
        "100 queries and 500 training images per class; the training images are not in the database.",
        "stratified",
        n_queries=1000,
        n_train=5000,
        train_in_database=False,
        n_items=60_000,
    ),
    Protocol(
        "cifar10-1000q-59000db-5000train",
        "cifar10",
        "Su, Zhang, Han, Tian, Greedy Hash, NeurIPS 2018, CIFAR-10 (I); DeepHash-pytorch, 'cifar10-1'",
        "100 queries per class; all other images are the database, and 500 of them per class are the training set.",
        "stratified",
        n_queries=1000,
        n_train=5000,
        n_items=60_000,
    ),
    Protocol(
        "cifar10-10000q-50000db-50000train",
        "cifar10",
        "Li, van Gemert, Deep Unsupervised Image Hashing by Maximizing Bit Entropy, AAAI 2021, Cifar-10 (I)",
        "1,000 queries per class are drawn from all 60,000 images, as in the authors' code; all other images are both "
        "database and training set. MAP@1000.",
        "stratified",
        n_queries=10_000,
        map_at=1000,
        n_items=60_000,
    ),
    Protocol(
        "cifar10-10000q-50000db-5000train",
        "cifar10",
        "Li, van Gemert, Deep Unsupervised Image Hashing by Maximizing Bit Entropy, AAAI 2021, Cifar-10 (II)",
        "1,000 queries per class are drawn from all 60,000 images, as in the authors' code; all other images are the "
        "database, and 500 of them per class are the training set.",
        "stratified",
        n_queries=10_000,
        n_train=5000,
        n_items=60_000,
    ),
    Protocol(
        "fashion-mnist",
        "fashion-mnist",
        "Xiao, Rasul, Vollgraf, Fashion-MNIST, arXiv:1708.07747, 2017",
        "1,000 queries are drawn at random from the official test part; the official training part is the database, "
        "and 10,000 of its images, drawn at random, are the training set.",
        "given",
        n_queries=1000,
        n_train=10_000,
        n_items=70_000,
    ),
    Protocol(
        "digits",
        "digits",
        "scikit-learn, load_digits; Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
        "A small data set for experiments: 200 queries are drawn at random; the other 1,597 images are both database "
        "and training set.",
        "random",
        n_queries=200,
        n_items=1797,
    ),
)


def all_protocols() -> dict[str, Protocol]:
    """Return every named protocol by name."""
    return {protocol.name: protocol for protocol in _PROTOCOLS}


def get_protocol(name: str) -> Protocol:
    """Return the protocol of that name. Raises a `GannetError` for an unknown name, which suggests the nearest."""
    protocols = all_protocols()
    if name not in protocols:
        raise unknown_name("protocol", name, protocols)
    return protocols[name]


def own_protocol(name: str, n: int, has_parts: bool, multi_label: bool) -> Protocol:
    """Return the protocol of a user's own ``n`` labeled images, named after their folder or list."""
    if has_parts:
        return Protocol(
            name,
            "own",
            "your own data",
            "Queries and database are the test and training parts of the data, or those that its lists name.",
            "given",
            multi_label=multi_label,
        )
    return Protocol(
        name,
        "own",
        "your own data",
        "A tenth of the images, at most 1,000, are drawn at random as queries; the others are both database and "
        "training set.",
        "random",
        n_queries=min(1000, max(1, n // 10)),
        multi_label=multi_label,
    )
