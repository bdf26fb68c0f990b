"""Iterative quantization, refined so that a linear decoder reconstructs the features well from the codes."""

from __future__ import annotations

import numpy as np

from gannet.encoders import Decoded, Floats, center_and_normalize, flipping_costs
from gannet.errors import GannetError
from gannet.hashers.base import Hasher
from gannet.methods.itq import ITQ, check_bits_per_feature
from gannet.support.arrays import unit_rows


class ITQRefined(Hasher):
    """Codes of `ITQ`, changed bit by bit until a linear decoder reconstructs the features best from them.

    Features are scaled to unit length, centered and scaled to unit length again. From the codes of `ITQ`, it alternates
    the linear decoder ``D`` with the smallest squared error and the codes ``b`` that lower ``|z - D b|^2`` for each
    item z, which is the binary autoencoder of [1]_ with the decoder alone: codes are found by flipping bits, as
    iterated conditional modes does for additive quantization [2]_. A penalty keeps all reconstructions about equally
    long (see `gannet.encoders.Decoded`), so that Hamming distances stay meaningful, and so that the asymmetric score,
    the inner product of a query and the reconstruction, orders items as the cosine does.

    Parameters
    ----------
    n_bits : int, default=64
        Length of the codes in bits, at most the number of features.
    n_iterations : int, default=50
        Iterations of ITQ.
    n_refinements : int, default=1
        Alternations of codes and decoder.
    penalty : float, default=2.0
        Weight of the penalty, at least 0. More of it serves search by Hamming distance, less of it the score.

    References
    ----------
    .. [1] Carreira-Perpiñán, Raziperchikolaei, "Hashing with Binary Autoencoders", CVPR 2015, equation 1.
    .. [2] Babenko, Lempitsky, "Additive Quantization for Extreme Vector Compression", CVPR 2014.

    Examples
    --------
    >>> import numpy as np
    >>> from gannet import ITQRefined
    >>> features = np.random.default_rng(0).normal(size=(100, 16))
    >>> ITQRefined(n_bits=12).fit_transform(features).shape
    (100, 2)
    """

    name = "itq-refined"
    reference = "Carreira-Perpiñán, Raziperchikolaei, Hashing with Binary Autoencoders, CVPR 2015; started from itq"

    n_iterations: int = 50
    n_refinements: int = 1
    penalty: float = 2.0

    def _learn(self, features: Floats) -> Decoded:
        if self.n_refinements < 0:
            raise GannetError(f"n_refinements must be at least 0, not {self.n_refinements}")
        if not 0 <= self.penalty < np.inf:
            raise GannetError(f"penalty must be a number from 0 on, not {self.penalty}")
        check_bits_per_feature(self.name, self.n_bits, features)
        unit = np.asarray(unit_rows(features), np.float32)
        mean = np.asarray(unit.mean(axis=0), np.float32)
        inputs = center_and_normalize(unit, mean)
        start = ITQ(self.n_bits, n_iterations=self.n_iterations, random_state=self.random_state).fit(inputs)
        codes = np.copysign(np.float32(1), start.decision_function(inputs))
        decoder, target = linear_decoder(codes, inputs)
        for _ in range(self.n_refinements):
            codes = np.copysign(
                np.float32(1), flipping_costs(inputs @ decoder, decoder.T @ decoder, target, self.penalty)
            )
            decoder, target = linear_decoder(codes, inputs)
        return Decoded(mean, decoder, np.full(1, target, np.float32), np.full(1, self.penalty, np.float32))


def linear_decoder(codes: Floats, inputs: Floats) -> tuple[Floats, float]:
    """Return the decoder ``(d, k)`` with the smallest squared error, and the mean squared length of reconstructions."""
    correlation = (codes.T @ codes).astype(np.float64)
    correlation[np.diag_indices_from(correlation)] += 1e-4 * len(codes)  # bits may be equal
    decoder = np.linalg.solve(correlation, (codes.T @ inputs).astype(np.float64)).T
    length = np.einsum("dk,kl,dl->", decoder, correlation, decoder, optimize=True) / len(codes)
    return np.ascontiguousarray(decoder, np.float32), max(float(length), float(np.finfo(np.float32).tiny))
