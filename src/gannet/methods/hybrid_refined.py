"""Codes of a method for things of the same kind, completed by bits from which the features are reconstructed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gannet.encoders import Completed, Encoder, Floats, center_and_normalize, flipping_costs
from gannet.errors import GannetError
from gannet.hashers.base import Hasher
from gannet.methods.hybrid import Hybrid
from gannet.methods.itq_refined import linear_decoder
from gannet.support.arrays import unit_rows

_PAIRED_ITEMS = 1000


class HybridRefined(Hybrid):
    """Hybrid codes whose last bits add what the first bits do not tell about the features.

    The first bits are those of a method that finds things of the same kind, by default `UHGAViews`, which learns by
    gradient attention. The other bits complete the code: with the first bits unchanged, they are refined as in
    `ITQRefined`, so that a linear decoder reconstructs the features from all bits. The asymmetric score adds the score
    by the first method to ``nearest_weight`` times the inner product of the query and the reconstruction, each divided
    by its standard deviation over pairs of training items. A search by score therefore finds things of the same kind
    about as well as the first method, and more of the nearest items than `Hybrid` does.

    Parameters
    ----------
    kind : str, default="uhga-views"
        Method of the first bits; see `Hybrid`. For a matrix, take one that learns from features, such as "uhga-graph".
    nearest : str, default="itq"
        Method that makes the other bits before they are refined, from the part of the features that a linear decoder
        does not reconstruct from the first bits.
    share : float, default=0.5
        Share of the bits that the first method makes.
    n_steps : int, default=0
        Optimizer steps, as in `Hybrid`.
    n_refinements : int, default=1
        Alternations of codes and decoder.
    penalty : float, default=2.0
        Weight of the penalty on reconstructions of unequal length, at least 0; see `ITQRefined`.
    nearest_weight : float, default=0.5
        Weight of the nearest items in the score, above 0. The default was chosen with MAP on CIFAR-10 in sight.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet.methods.hybrid_refined import HybridRefined
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> hasher = HybridRefined(n_bits=16, kind="uhga-graph", n_steps=20).fit(features)
    >>> hasher.encoder_.ranges
    [(0, 8), (8, 16)]
    """

    name = "hybrid-refined"
    reference = "Gannet's own: the bits of one method, completed by bits that a linear decoder needs"

    kind: str = "uhga-views"
    n_refinements: int = 1
    penalty: float = 2.0
    nearest_weight: float = 0.5

    def _complete(self, first: Encoder, second: Hasher, features: npt.NDArray[Any]) -> Completed:
        if self.n_refinements < 0:
            raise GannetError(f"n_refinements must be at least 0, not {self.n_refinements}")
        if not 0 <= self.penalty < np.inf:
            raise GannetError(f"penalty must be a number from 0 on, not {self.penalty}")
        if not 0 < self.nearest_weight < np.inf:
            raise GannetError(f"nearest_weight must be a number above 0, not {self.nearest_weight}")
        unit = np.asarray(unit_rows(features), np.float32)
        mean = np.asarray(unit.mean(axis=0), np.float32)
        inputs = center_and_normalize(unit, mean)
        fixed = _signs(first.values(features))
        rest = inputs - fixed @ linear_decoder(fixed, inputs)[0].T
        codes = np.concatenate([fixed, _signs(second.fit(rest).decision_function(rest))], axis=1)
        decoder, target = linear_decoder(codes, inputs)
        for _ in range(self.n_refinements):
            products, gram = inputs @ decoder, decoder.T @ decoder
            codes[:, fixed.shape[1] :] = _signs(flipping_costs(products, gram, target, self.penalty, fixed))
            decoder, target = linear_decoder(codes, inputs)
        some = slice(_PAIRED_ITEMS)
        spread = (first.bit_weights(features[some]) @ fixed.T).std(), (inputs[some] @ decoder @ codes.T).std()
        scales = np.array([1, self.nearest_weight]) / np.maximum(spread, np.finfo(np.float32).tiny)
        return Completed(
            mean,
            decoder,
            np.full(1, target, np.float32),
            np.full(1, self.penalty, np.float32),
            first=first,
            scales=scales.astype(np.float32),
        )


def _signs(values: Floats) -> Floats:
    return np.where(values >= 0, np.float32(1), np.float32(-1))
