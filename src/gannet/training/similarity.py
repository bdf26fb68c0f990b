"""Which training items count as similar, from their features alone."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gannet.errors import GannetError

_SAMPLE = 1000
_TOO_MANY = 0.9


def check_threshold(unit_features: Tensor, threshold: float) -> None:
    """Raise a `GannetError` for a threshold under which nearly all pairs, or none, are similar: codes would collapse.

    ``unit_features (N, d)`` have unit length; the pairs of a thousand of them are counted.
    """
    if not -1 <= threshold < 1:
        raise GannetError(f"similarity_threshold is a cosine, from -1 to under 1, not {threshold}")
    some = unit_features[:: max(1, len(unit_features) // _SAMPLE)][:_SAMPLE]
    similar = some @ some.T > threshold
    n_pairs = len(some) * (len(some) - 1)
    share = (int(similar.sum()) - int(similar.diagonal().sum())) / n_pairs
    if share == 0:
        raise GannetError(f"no pair has a cosine above similarity_threshold={threshold}: set a lower one")
    if share > _TOO_MANY:
        raise GannetError(
            f"{share:.0%} of the pairs have a cosine above similarity_threshold={threshold}, and codes that make them "
            "all similar are all the same: set a higher one, or similarity=centered-cosine"
        )


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
