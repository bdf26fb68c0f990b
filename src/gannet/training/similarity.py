"""Which training items count as similar, from their features alone."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def thresholded_cosine(
    unit_features: Tensor, threshold: float, dissimilar: float
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the similarity function of eq. 3 of Jiang et al. 2020.

    ``unit_features (N, d)`` have unit length, so that an inner product is ``1 - cosine distance`` (eq. 2). The
    function maps indices ``(n,)`` and ``(m,)`` to ``(n, m)``: 1 where the cosine is over ``threshold``, else
    ``dissimilar`` (0 or -1).
    """

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        similar = unit_features[a] @ unit_features[b].T > threshold
        return similar.to(unit_features.dtype) * (1 - dissimilar) + dissimilar

    return similarity
