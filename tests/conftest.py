"""Data for the tests of every method, of the kind that the method takes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

# Read when SciPy is imported; without it, scikit-learn skips a check of every estimator.
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import numpy as np
import pytest

from gannet.hashers.base import Hasher

pytest_plugins = ["skip_reasons"]  # the option --only-skip-for


class Given(NamedTuple):
    """What a method learns from, and what it encodes, of 150 items in 5 groups (60 where items are images)."""

    learn: np.ndarray
    encode: np.ndarray


@pytest.fixture(scope="session")
def given() -> Callable[[type[Hasher]], Given]:
    """Return the function from a method to its data."""
    random = np.random.default_rng(0)
    group = random.integers(5, size=150)
    centers = random.normal(size=(5, 24)) * 3
    features = (centers[group] + random.normal(size=(150, 24))).astype(np.float32)
    views = (features[:, None] + 0.3 * random.normal(size=(150, 3, 24))).astype(np.float32)
    patches = random.integers(0, 200, (5, 4, 4, 3))[group] + random.integers(0, 55, (150, 4, 4, 3))
    pixels = patches.astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    of_kind = {
        "features": Given(features, features),
        "views": Given(views, features),
        "pixels": Given(pixels[:60], pixels[:60]),
    }
    return lambda method: of_kind["features" if method is Hasher else method().takes.kind]
