"""Measure which copies of real images `gannet duplicates` finds, what else it groups, and how long it takes.

    python benchmarks/duplicates.py CIFAR10 [--originals 500] [--bits 64] [--method uhga] [--radii 0,1,2,3,4]

The collection has all images of CIFAR-10, and five copies of each of some images: the same pixels as PNG, JPEG of
quality 75 and 40, and enlarged to twice and reduced to three quarters of the size as JPEG of quality 90. The model
learns from 10,000 images without copies. For each cosine (0: codes alone) and each radius, this prints the share of
copies of each kind that are in the group of their original, and the precision: the share of pairs of versions of one
image among all pairs within groups. CIFAR-10 contains near-duplicates of its own, which count as errors. The times
printed at the end are those of random codes.
"""

from __future__ import annotations

import argparse
import io
import itertools
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from gannet import ImageHasher
from gannet.collection.feature_rows import half_unit
from gannet.data import Subset, decode
from gannet.data.datasets.cifar10 import Cifar10
from gannet.hashers import get_hasher
from gannet.retrieval.duplicates import group_alike, group_codes

SIDE = 32


def encoded(image: Image.Image, form: str, **options: int) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "same pixels, PNG": lambda image: encoded(image, "PNG"),
    "JPEG 75": lambda image: encoded(image, "JPEG", quality=75),
    "JPEG 40": lambda image: encoded(image, "JPEG", quality=40),
    "twice as large, JPEG 90": lambda image: encoded(image.resize((64, 64)), "JPEG", quality=90),
    "three quarters, JPEG 90": lambda image: encoded(image.resize((24, 24)), "JPEG", quality=90),
}


def measure_time(bits: int) -> None:
    random = np.random.default_rng(0)
    group_codes(random.integers(0, 256, (10, bits // 8), dtype=np.uint8), bits, 1)
    for n in (100_000, 1_000_000):
        codes = random.integers(0, 256, (n, bits // 8), dtype=np.uint8)
        times = []
        for radius in (0, 2, 4) if n > 100_000 else (0, 2, 4, 8):
            start = time.perf_counter()
            group_codes(codes, bits, radius)
            times.append(f"radius {radius}: {time.perf_counter() - start:.1f} s")
        print(f"{n:,} random codes of {bits} bits: {', '.join(times)}")


def judge(groups: list[np.ndarray], image: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the group of each item, or a negative number of its own if it is in none, and the share of true pairs."""
    group_of = -1 - np.arange(len(image))
    true = pairs = 0
    for number, group in enumerate(groups):
        group_of[group] = number
        versions = np.unique(image[group], return_counts=True)[1]
        true += int((versions * (versions - 1)).sum())
        pairs += len(group) * (len(group) - 1)
    return group_of, true / max(pairs, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cifar10")
    parser.add_argument("--originals", type=int, default=500)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--method", default="uhga")
    parser.add_argument("--radii", default="0,1,2,3,4")
    parser.add_argument("--cosines", default="0,0.8,0.85,0.9,0.925,0.95,0.975")
    arguments = parser.parse_args()
    dataset = Cifar10().load(arguments.cifar10)
    order = np.random.default_rng(0).permutation(len(dataset))
    originals, training = order[: arguments.originals], order[-10_000:]
    hasher = ImageHasher(get_hasher(arguments.method)(arguments.bits, random_state=0))
    hasher.learn(hasher.features(Subset(dataset.source, training)))
    features = [hasher.features(dataset.source).values]
    for make in COPIES.values():
        pictures = [Image.fromarray(decode(dataset.source.read(int(i)), SIDE)) for i in originals]
        features.append(hasher.features([make(picture) for picture in pictures]).values)
    codes = hasher.model.encoder.encode(np.concatenate(features))
    kept = half_unit(np.concatenate(features))
    # The image of which each item is a version.
    image = np.concatenate([np.arange(len(dataset)), *[originals] * len(COPIES)])
    copies = f"{len(originals):,} with {len(COPIES)} copies each"
    print(f"{len(codes):,} items, {copies}; {arguments.method}, {arguments.bits} bits")
    print("cosine  radius  " + "  ".join(COPIES) + "  precision  largest group  seconds")
    group_alike(codes[:10], arguments.bits, 1, kept.__getitem__, 0.1)
    for cosine, radius in itertools.product(
        map(float, arguments.cosines.split(",")), map(int, arguments.radii.split(","))
    ):
        start = time.perf_counter()
        if cosine:
            groups = group_alike(codes, arguments.bits, radius, kept.__getitem__, cosine)
        else:
            groups = group_codes(codes, arguments.bits, radius)
        seconds = time.perf_counter() - start
        group_of, precision = judge(groups, image)
        recalls = []
        for number, name in enumerate(COPIES):
            first = len(dataset) + number * len(originals)
            recall = np.mean(group_of[first : first + len(originals)] == group_of[originals])
            recalls.append(f"{recall:{len(name)}.3f}")
        largest = max(map(len, groups), default=1)
        print(
            f"{cosine:6g}  {radius:6}  {'  '.join(recalls)}  {precision:9.3f}  {largest:13,}  {seconds:7.1f}",
            flush=True,
        )
    measure_time(arguments.bits)


if __name__ == "__main__":
    main()
