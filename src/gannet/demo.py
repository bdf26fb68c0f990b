"""The demo: learn codes of a labeled data set, index it, search it with new pictures, and evaluate the results."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gannet.codes import Codes, unpack
from gannet.collection import Collection
from gannet.collection.indexing import Encoded, add_encoded
from gannet.data import LabeledImages, thumbnail
from gannet.data.base import Subset
from gannet.errors import GannetError
from gannet.evaluation import distance_histograms, evaluate, float_map
from gannet.feature_reader import Features
from gannet.image_hasher import ImageHasher
from gannet.methods.itq import ITQ
from gannet.methods.uhga import UHGA
from gannet.pages import DemoNeighbor, DemoPicture, DemoQuery, DemoReport, Score, demo_page
from gannet.support.atomic import write_atomically

# At most this many items and queries are used, so that two cores need less than three minutes.
_N_ITEMS, _N_QUERIES = 10_000, 500
_N_SHOWN, _N_NEIGHBORS, _PICTURE_SIDE = 10, 8, 96
_NAMES = {"cifar10": "CIFAR-10", "fashion-mnist": "Fashion-MNIST", "digits": "scikit-learn's digits"}


@dataclass(frozen=True)
class DemoFiles:
    """The files that the demo writes."""

    model: Path
    collection: Path
    page: Path


def run_demo(dataset: LabeledImages, folder: Path, say: Callable[[str], None], method: UHGA | None = None) -> DemoFiles:
    """Run the demo and write its files to ``folder``, which is created if necessary.

    The labels of the images are used for the evaluation only. ``say`` is called with one line of text per step. The
    default of ``method`` is ``UHGA(n_bits=64)``. Raises a `GannetError` if the folder cannot be created.
    """
    method = method or UHGA(n_bits=64)
    n_bits = method.n_bits
    files = DemoFiles(folder / "demo.model", folder / "demo.gannet", folder / "demo.html")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GannetError(f"cannot create the folder {folder}: {error.strerror}") from None
    items, queries = _split(dataset)
    hasher = ImageHasher(method)

    started = time.perf_counter()
    item_features = hasher.features(Subset(dataset.source, items))
    query_features = hasher.features(Subset(dataset.source, queries))
    rate = (len(items) + len(queries)) / (time.perf_counter() - started)
    say(f"encoded {len(items):,} pictures and {len(queries):,} queries, {rate:,.0f} per second")

    started = time.perf_counter()
    hasher.learn(item_features)
    fit_seconds = time.perf_counter() - started
    hasher.save(files.model)
    say(f"learned {n_bits} bits with {method.name} from {len(items):,} unlabeled pictures in {fit_seconds:.0f} s")

    encoder = hasher.model.encoder
    item_codes, query_codes = encoder.encode(item_features.values), encoder.encode(query_features.values)
    with Collection.create(files.collection, hasher.model, overwrite=True) as collection:
        add_encoded(collection, Encoded(item_codes, item_features.paths, item_features.digests, ()))
        distances, ids = collection.index().search(query_codes[:_N_SHOWN], _N_NEIGHBORS)
    say(f"created a collection of {len(items):,} codes: {files.collection}")

    item_labels, query_labels = dataset.labels[items], dataset.labels[queries]
    scores = _scores(item_features, query_features, item_codes, query_codes, item_labels, query_labels, n_bits)
    say("MAP: " + ", ".join(f"{score.name} ({score.size}) {score.map:.3f}" for score in scores))
    histograms = distance_histograms(query_codes, item_codes, query_labels, item_labels, n_bits)
    same = histograms.relevant.sum(0)
    report = DemoReport(
        dataset=_NAMES.get(dataset.name, dataset.name),
        found=dataset.note,
        attempts=dataset.attempts,
        n_training=len(items),
        n_database=len(items),
        n_queries=len(queries),
        n_classes=len(dataset.class_names),
        backbone=str(hasher.model.backbone),
        n_features=item_features.values.shape[1],
        method="UHGA",
        n_bits=n_bits,
        fit_seconds=fit_seconds,
        images_per_second=rate,
        scores=scores,
        same_class_distances=same.tolist(),
        other_class_distances=(histograms.items.sum(0) - same).tolist(),
        n_distinct_codes=len(np.unique(item_codes, axis=0)),
        ones_per_bit=unpack(item_codes, n_bits).mean(0).tolist(),
        queries=[_shown(dataset, queries[i], items[ids[i]], distances[i]) for i in range(min(_N_SHOWN, len(queries)))],
    )
    write_atomically(files.page, demo_page(report).encode())
    return files


def _split(dataset: LabeledImages) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return random items and queries; the queries come from the official test set if the data set has one."""
    random = np.random.default_rng(0)
    order = random.permutation(len(dataset))
    is_query = np.zeros(len(dataset), bool)
    candidates = order if dataset.is_test is None else order[dataset.is_test[order]]
    is_query[candidates[: min(_N_QUERIES, len(dataset) // 10)]] = True
    kept = order[~is_query[order]] if dataset.is_test is None else order[~dataset.is_test[order]]
    return kept[:_N_ITEMS], order[is_query[order]]


def _scores(
    items: Features,
    queries: Features,
    item_codes: Codes,
    query_codes: Codes,
    item_labels: npt.NDArray[np.int64],
    query_labels: npt.NDArray[np.int64],
    n_bits: int,
) -> list[Score]:
    itq = ITQ(n_bits).fit(items.values)
    itq_codes = itq.transform(queries.values), itq.transform(items.values)
    size = f"{n_bits} bits"
    return [
        Score("UHGA", size, evaluate(query_codes, item_codes, query_labels, item_labels, n_bits).map, True),
        Score("ITQ", size, evaluate(*itq_codes, query_labels, item_labels, n_bits).map),
        Score(
            "Float features",
            f"{items.values.shape[1]:,} floats, cosine",
            float_map(queries.values, items.values, query_labels, item_labels),
        ),
    ]


def _shown(
    dataset: LabeledImages, query: int, neighbors: npt.NDArray[np.int64], distances: npt.NDArray[np.int64]
) -> DemoQuery:
    def picture(index: int) -> DemoPicture:
        raw = dataset.source.read(index)
        return DemoPicture(
            dataset.source.paths[index], dataset.class_names[dataset.labels[index]], thumbnail(raw, _PICTURE_SIDE)
        )

    return DemoQuery(
        picture(query),
        [
            DemoNeighbor(picture(i), int(distance), bool(dataset.labels[i] == dataset.labels[query]))
            for i, distance in zip(neighbors.tolist(), distances, strict=True)
        ],
    )
