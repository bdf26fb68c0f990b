"""The contract of every hasher: a scikit-learn transformer from features or images to packed codes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gannet import codes
from gannet.encoders import Encoder, Floats, check_finite
from gannet.errors import GannetError
from gannet.hashers.fields import DeclaresSettings
from gannet.hashers.takes import FromFeatures, Takes

_LARGEST = 1e15
"""Sums of squares of larger features would overflow float32."""


class Hasher(DeclaresSettings, TransformerMixin, BaseEstimator, ABC):
    """Base class of methods, which learn without labels a function from features to codes.

    A method is a subclass that sets the class attributes ``name`` and ``reference``, declares its settings as annotated
    class attributes, and implements ``_learn``. See the guide "Adding a method".

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes in bits.
    random_state : int or None, default=0
        Seed for all random numbers of `fit`. With None, each fit draws other numbers.

    Attributes
    ----------
    name : str
        Name of the method on the command line.
    reference : str
        The paper: authors, title and venue in one line.
    sample_size : int
        Number of items that `ImageHasher` and ``gannet fit`` learn from by default, drawn at random from larger
        sources. `fit` itself learns from all items that it is given.
    encoder_ : Encoder
        Result of `fit`.
    n_features_in_ : int
        Number of features seen in `fit`.
    """

    name: ClassVar[str]
    reference: ClassVar[str]
    sample_size: ClassVar[int] = 50_000

    n_bits: int = field(default=64, kw_only=False)
    random_state: int | None = 0

    @property
    def takes(self) -> Takes:
        """Kind of the training data: `FromFeatures`, `FromViews` or `FromPixels`."""
        return FromFeatures()

    def fit(self, X: npt.ArrayLike, y: Any = None) -> Self:
        """Learn from features.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Features of the training items. Methods that learn from images take features of views, of shape
            (n, n_views, n_features), or uint8 pixels, of shape (n, side, side, 3); see `takes`.
        y : None
            Ignored.

        Returns
        -------
        Hasher
            This object.

        Raises
        ------
        GannetError
            If there are fewer items than bits, if all items are equal, if X has another shape or holds NaN, infinity or
            values above 1e15, or if a setting is out of range.
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
        with config_context(transform_output="default"):  # methods use scikit-learn's transformers on arrays
            self.encoder_: Encoder = self._learn(features)
        return self

    def decision_function(self, X: npt.ArrayLike) -> Floats:
        """Return the values before the sign.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Features; uint8 pixels of shape (n, side, side, 3) for a method that learns from pixels.

        Returns
        -------
        ndarray of shape (n, n_bits), dtype float32
            Values; a bit is 1 where its value is at least 0.
        """
        check_is_fitted(self)
        return self.encoder_.values(self._checked(X, reset=False))

    def transform(self, X: npt.ArrayLike) -> codes.Codes:
        """Return the codes of features.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Features; uint8 pixels of shape (n, side, side, 3) for a method that learns from pixels.

        Returns
        -------
        ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
            Packed codes: most significant bit first, trailing bits zero.
        """
        check_is_fitted(self)
        return self.encoder_.encode(self._checked(X, reset=False))

    def get_feature_names_out(self, input_features: Any = None) -> npt.NDArray[Any]:
        """Return the names of the columns of the codes.

        Parameters
        ----------
        input_features : array-like of str
            Ignored, since each column depends on all features.

        Returns
        -------
        ndarray of shape (ceil(n_bits / 8),), dtype object
            ``code0``, ``code1``, ...: one name per byte.
        """
        check_is_fitted(self)
        return np.array([f"code{i}" for i in range(codes.n_bytes(self.encoder_.n_bits))], dtype=object)

    @abstractmethod
    def _learn(self, features: npt.NDArray[Any]) -> Encoder:
        """Return the encoder learned from checked float32 ``features (n, n_features)``."""

    def draw_seed(self) -> int:
        """Return a seed for torch.

        Returns
        -------
        int
            The seed, equal at every call unless ``random_state`` is None.
        """
        return int(check_random_state(self.random_state).randint(2**31))

    def _check_seed(self) -> None:
        try:
            check_random_state(self.random_state)
        except ValueError:
            raise GannetError(
                f"random_state must be a whole number from 0 to {2**32 - 1} or None, not {self.random_state!r}"
            ) from None

    def _checked(self, X: npt.ArrayLike, reset: bool) -> npt.NDArray[Any]:
        """Return ``X`` as an array of the shape and type that the method reads, to learn (``reset``) or to encode."""
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
