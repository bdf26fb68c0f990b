"""The main claim on real images, small enough for every run; `gannet bench cifar10-uhga` does the whole comparison."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gannet import ITQ, UHGA, ImageHasher, UHGAPlain
from gannet.data.base import Subset
from gannet.data.datasets.cifar10 import Cifar10
from gannet.evaluation import evaluate

ARCHIVE = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg.zip"
N_BITS, SEEDS = 32, (0, 1)


@pytest.mark.real
@pytest.mark.skipif(not ARCHIVE.exists(), reason="real CIFAR-10 is not beside the checkout")
def test_gradient_attention_beats_the_plain_gradient_and_itq() -> None:
    dataset = Cifar10().read(ARCHIVE)
    chosen = np.random.default_rng(0).permutation(len(dataset))[:8_500]
    features = ImageHasher().features(Subset(dataset.source, chosen)).values
    labels = dataset.labels[chosen]
    queries, database, training = slice(0, 500), slice(500, None), slice(500, 6_500)

    def mean_ap(method: type, **settings: int) -> float:
        results = []
        for seed in SEEDS:
            hasher = method(N_BITS, random_state=seed, **settings).fit(features[training])
            codes = hasher.transform(features)
            assert len(np.unique(codes[database], axis=0)) > 1000, "the codes collapsed"
            results.append(evaluate(codes[queries], codes[database], labels[queries], labels[database], N_BITS).map)
        return float(np.mean(results))

    itq, plain, attention = mean_ap(ITQ), mean_ap(UHGAPlain, n_steps=400), mean_ap(UHGA, n_steps=400)
    assert attention > plain
    assert attention > 1.10 * itq
