"""The contract of every hasher: a scikit-learn transformer from features, or images, to packed codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gannet import codes
from gannet.encoders import Encoder, Floats, check_finite
from gannet.errors import GannetError
from gannet.hashers.takes import FromFeatures, Takes

_LARGEST = 1e15
"""Sums of squares of larger features would overflow float32."""


class Hasher(TransformerMixin, BaseEstimator, ABC):
    """Learn a function from features ``(n, n_features)`` to codes of ``n_bits``, without labels.

    A method is one file in this folder with a subclass that sets `name` and `reference` and implements `_learn`;
    the command line, the benchmark and the contract tests find it there. Its settings are constructor arguments,
    documented with the paper's value.
    """

    name: ClassVar[str]
    """What the method is called on the command line."""
    reference: ClassVar[str]
    """The paper, as authors, title and venue in one line."""
    n_bits: int
    random_state: int | None

    @property
    def takes(self) -> Takes:
        """What it learns from."""
        return FromFeatures()

    def fit(self, X: npt.ArrayLike, y: Any = None) -> Self:
        """Learn from features ``X (n, n_features)``; ``y`` is ignored.

        Raises: `GannetError` for fewer items than bits, items that are all the same, NaN, infinity or values above
        1e15, a wrong shape, and settings that do not exist.
        """
        codes.n_bytes(self.n_bits)
        self._check_seed()
        features = self._checked(X, reset=True)
        if len(features) < max(2, self.n_bits):
            raise GannetError(
                f"n_samples={len(features)} is too few to learn {self.n_bits} bits: give at least "
                f"{max(2, self.n_bits)} items, or ask for fewer bits"
            )
        if (features == features[0]).all():
            raise GannetError("all items have the same features: there is nothing to learn from")
        if max(features.max(), -float(features.min())) > _LARGEST:
            raise GannetError(f"the features hold values above {_LARGEST:g}: scale them down")
        self.encoder_: Encoder = self._learn(features)
        return self

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the real values before the sign, ``(n, n_bits)`` float32; a bit is 1 where its value is >= 0."""
        check_is_fitted(self)
        return self.encoder_.values(self._checked(X, reset=False))

    def transform(self, X: npt.ArrayLike) -> codes.Codes:
        """Return packed codes ``(n, ceil(n_bits / 8))`` uint8, most significant bit first, trailing bits zero."""
        check_is_fitted(self)
        return self.encoder_.encode(self._checked(X, reset=False))

    @abstractmethod
    def _learn(self, features: npt.NDArray[Any]) -> Encoder:
        """Return the encoder learned from checked float32 ``features (n, n_features)``."""

    def draw_seed(self) -> int:
        """Return a seed for torch: with a number as ``random_state`` the same every time, with None another."""
        return int(check_random_state(self.random_state).randint(2**31))

    def _check_seed(self) -> None:
        try:
            check_random_state(getattr(self, "random_state", None))
        except ValueError:
            raise GannetError(
                f"random_state must be a whole number from 0 to {2**32 - 1} or None, not {self.random_state!r}"
            ) from None

    def _checked(self, X: npt.ArrayLike, reset: bool) -> npt.NDArray[Any]:
        """Return ``X`` as the method reads it: to learn from where ``reset``, else to encode."""
        try:
            with np.errstate(over="ignore"):
                checked: Floats = validate_data(
                    self, X, dtype=np.float32, reset=reset, order="C", ensure_all_finite=False
                )
        except ValueError as error:
            # scikit-learn's own checks compare its message about column names line by line.
            if "feature names" in str(error):
                raise
            raise GannetError(" ".join(str(error).split())) from None
        check_finite(checked)
        return checked

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
