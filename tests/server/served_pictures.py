"""Small pictures, and their codes by the network ``pixel-network`` of ``tests/networks``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gannet.backbones.texts import TextRecord
from gannet.collection import Collection
from gannet.data import decode, digest
from gannet.encoders import Encoder, Joined, Linear
from gannet.model import Model
from gannet.retrieval.found import EncodedQuery

N_BITS = 24
SIDE = 8
ENCODER = Linear(
    np.full(3 * SIDE * SIDE, 128, np.float32),
    np.random.default_rng(0).standard_normal((3 * SIDE * SIDE, N_BITS)).astype(np.float32),
    np.zeros(N_BITS, np.float32),
)


def save_picture(path: Path, seed: int) -> Path:
    patches = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(patches).resize((96, 96), Image.Resampling.NEAREST).save(path)
    return path


def encode(raw: bytes) -> np.ndarray:
    """Return the code of a picture that the application under test computes."""
    return ENCODER.encode(decode(raw, SIDE).reshape(1, -1).astype(np.float32))


def encode_image(raw: bytes) -> EncodedQuery:
    """Return the code of a picture with the weights of its bits."""
    return EncodedQuery(encode(raw)[0], ENCODER.values(decode(raw, SIDE).reshape(1, -1).astype(np.float32))[0])


PARTS = Joined(
    tuple(Linear(ENCODER.mean, ENCODER.weight[:, bits], ENCODER.bias[bits]) for bits in (slice(12), slice(12, 24)))
)
TEXTS = TextRecord(
    np.full(3 * SIDE * SIDE, 0.01, np.float32),
    ENCODER.mean,
    np.array([1900], np.float32),
    "0123456789abcdef",
    "color-words",
)


def make_photos(folder: Path) -> Path:
    photos = folder / "photos"
    photos.mkdir()
    for i in range(40):
        save_picture(photos / f"{i:02}.png", i)
    return photos


def make_collection(folder: Path, photos: Path, encoder: Encoder = ENCODER, texts: TextRecord | None = None) -> Path:
    """Return a collection of pictures: ids 0 to 39 in the order of their names; 40 repeats 0, and 41 has no picture."""
    path = folder / "photos.gannet"
    files = [*sorted(photos.iterdir()), photos / "00.png"]
    raws = [file.read_bytes() for file in files]
    codes = np.concatenate([*map(encode, raws), np.zeros((1, 3), np.uint8)])
    with Collection.create(path, Model(encoder, "lsh", {}, "pixel-network", SIDE, {}, texts=texts)) as made:
        made.add(codes, [*map(str, files), "vectors.npy#3"], [*map(digest, raws), b"row"])
    return path
