"""Add Gannet's codes to bitbudget, a benchmark of the quality of retrieval against bytes (`pip install bitbudget`).

    python benchmarks/bitbudget_adapter.py run --embedder mxbai --corpus scifact   # downloads texts and the network
    python benchmarks/bitbudget_adapter.py store features.npy FOLDER [labels.npy]   # your own vectors
    python benchmarks/bitbudget_adapter.py eval --embedder own --corpus features --cache FOLDER

All commands but `store` are those of bitbudget, with Gannet's methods, and bitbudget's PQ at the same bytes, beside its
own. `store` writes 500 random rows as queries and at most 10,000 others as documents, at unit length. A document with
the label of a query is relevant to it; without labels there is no nDCG.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bitbudget
import numpy as np
from bitbudget.cli import main

from gannet.hashers import get_hasher
from gannet.scoring import signs
from gannet.support.arrays import unit_rows

BYTES = (8, 16, 32)


def register(method: str, n_bytes: int, asymmetric: bool) -> None:
    """Add a method that learns from the documents, and ranks them by asymmetric score or by Hamming distance."""

    @bitbudget.method(f"{method}-{n_bytes}{'' if asymmetric else '-hamming'}", bits=1)
    def scores(documents, queries):  # type: ignore[no-untyped-def]
        encoder = get_hasher(method)(8 * n_bytes, random_state=0).fit(documents).encoder_
        weights = encoder.bit_weights(queries) if asymmetric else signs(encoder.encode(queries), 8 * n_bytes)
        return weights @ signs(encoder.encode(documents), 8 * n_bytes).T, n_bytes


def register_pq(n_bytes: int) -> None:
    own = bitbudget.METHODS["pq"]
    bitbudget.method(f"pq-{n_bytes}", bits=8)(lambda documents, queries: own(documents, queries, m=n_bytes))


def store(features: str, folder: str, labels: str | None = None) -> None:
    rows = np.load(features, mmap_mode="r")
    order = np.random.default_rng(0).permutation(len(rows))[:10_500]
    vectors = unit_rows(np.stack([rows[row] for row in order]).astype(np.float32))
    names = order.astype(str)
    relevant: dict[str, dict[str, int]] = {name: {} for name in names[:500]}
    if labels is not None:
        classes = np.load(labels)[order]
        for name, wanted in zip(names[:500], classes[:500], strict=True):
            relevant[name] = dict.fromkeys(names[500:][classes[500:] == wanted].tolist(), 1)
    Path(folder).mkdir(exist_ok=True)
    arrays = {"demb": vectors[500:], "qemb": vectors[:500], "cids": names[500:], "qids": names[:500]}
    np.savez(Path(folder) / f"emb_own_{Path(features).stem}.npz", **arrays, qrels=json.dumps(relevant))


for n_bytes in BYTES:
    register("itq", n_bytes, asymmetric=True)
    register("itq-refined", n_bytes, asymmetric=True)
    register("itq-refined", n_bytes, asymmetric=False)
    register_pq(n_bytes)

if __name__ == "__main__":
    if sys.argv[1:2] == ["store"]:
        store(*sys.argv[2:])
    else:
        main()
