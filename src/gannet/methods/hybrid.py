"""Hybrid codes: some bits for things of the same kind, the rest for the nearest features."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.encoders import Encoder, Joined
from gannet.errors import GannetError
from gannet.hashers import get_hasher
from gannet.hashers.base import Hasher
from gannet.hashers.images import checked_views
from gannet.hashers.takes import FromFeatures, FromViews

_STEPS = ("n_steps", "n_contrast_steps")


class Hybrid(Hasher):
    """Codes of two methods in one: the first bits find things of the same kind, the others find the nearest features.

    Methods that group items by kind keep fewer of the nearest features, and methods that keep those separate kinds less
    well. A hybrid code serves both goals with one model and one collection. A search compares all bits, or those of one
    part alone: ``gannet search --part kind`` or ``--part nearest``, in Python `gannet.retrieval.parts.part_index`.

    Parameters
    ----------
    kind : str, default="uhga-graph"
        Method of the first bits: one that learns from features, or from views of each image with the unchanged image
        first, such as "uhga-views".
    nearest : str, default="itq"
        Method of the other bits: one that learns from features.
    share : float, default=0.5
        Share of the bits that the first method makes. Each method makes at least one bit, but a single bit is the
        first method's.
    n_steps : int, default=0
        Optimizer steps of each method that has them, also of a network that learns a space from views; 0 keeps the
        methods' own numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.hybrid import Hybrid
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> hasher = Hybrid(n_bits=16, share=0.25, n_steps=20).fit(features)
    >>> hasher.encoder_.ranges
    [(0, 4), (4, 16)]
    """

    name = "hybrid"
    reference = "Gannet's own: the bits of two methods side by side"

    kind: str = "uhga-graph"
    nearest: str = "itq"
    share: float = 0.5
    n_steps: int = 0

    @property
    def sample_size(self) -> int:  # type: ignore[override]
        """Number of items that `ImageHasher` learns from by default: that of the method for the first bits."""
        return self._method(self.kind, 1).sample_size

    @property
    def takes(self) -> FromFeatures | FromViews:
        """Kind of the training data: that of the method for the first bits."""
        takes = self._method(self.kind, 1).takes
        if isinstance(takes, FromFeatures) or (isinstance(takes, FromViews) and takes.original_first):
            return takes
        raise GannetError(
            f"{self.name} takes methods that learn from features, or from views with the unchanged image first, as "
            f"uhga-views does, not {self.kind}"
        )

    def _learn(self, features: npt.NDArray[Any]) -> Encoder:
        n_first = self._n_first()
        first = self._method(self.kind, n_first).fit(features).encoder_
        if n_first == self.n_bits:
            return first
        second = self._method(self.nearest, self.n_bits - n_first)
        if not isinstance(second.takes, FromFeatures):
            raise GannetError(
                f"the second method of {self.name} learns from features: take one such as itq, not {second.name}"
            )
        originals = features if features.ndim == 2 else np.ascontiguousarray(features[:, 0])
        return self._complete(first, second, originals)

    def _n_first(self) -> int:
        """Return the number of bits of the first method."""
        if not 0 < self.share < 1:
            raise GannetError(f"share must be above 0 and below 1, not {self.share}")
        return min(max(1, round(self.share * self.n_bits)), max(1, self.n_bits - 1))

    def _complete(self, first: Encoder, second: Hasher, features: npt.NDArray[Any]) -> Encoder:
        """Return the encoder of all bits, given the one of the first bits and the method of the others."""
        return Joined((first, second.fit(features).encoder_))

    def _method(self, name: str, n_bits: int) -> Hasher:
        cls = get_hasher(name)
        if issubclass(cls, Hybrid):
            raise GannetError(f"{self.name} joins two other methods, not itself or another hybrid")
        accepted = inspect.signature(cls).parameters
        steps = {name: self.n_steps for name in _STEPS if self.n_steps and name in accepted}
        return cls(n_bits, random_state=self.random_state, **steps)

    def _checked(self, X: npt.ArrayLike, reset: bool) -> npt.NDArray[Any]:
        if reset and isinstance(self.takes, FromViews):
            return checked_views(self.name, X, lambda rows: super(Hybrid, self)._checked(rows, reset))
        return super()._checked(X, reset)

    def __sklearn_tags__(self) -> Any:
        return self._method(self.kind, 1).__sklearn_tags__()
