"""Similarities of training items, computed from their features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gannet.errors import GannetError

Similarity = Callable[[Tensor, Tensor], Tensor]
"""Maps indices ``(n,)`` and ``(m,)`` of training items to their similarities ``(n, m)``."""

_SAMPLE = 1000
_TOO_MANY = 0.9
_SAME = 0.9


def check_threshold(unit_features: Tensor, threshold: float) -> None:
    """Raise a `GannetError` for a threshold by which nearly all pairs or none are similar, as codes would collapse.

    Counts the pairs among a thousand of ``unit_features (N, d)``, which have unit length.
    """
    if not -1 <= threshold < 1:
        raise GannetError(f"similarity_threshold is a cosine, from -1 to under 1, not {threshold}")
    some = _sample(unit_features)
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


def check_share(similar_share: float) -> None:
    """Raise a `GannetError` for a share of similar pairs that is out of range."""
    if not 0 < similar_share <= 0.5:
        raise GannetError(f"similar_share must be above 0 and at most 0.5, not {similar_share}")


def threshold_of_share(unit_features: Tensor, share: float) -> float:
    """Return the cosine that ``share`` of the pairs of ``unit_features (N, d)`` exceed, at most 0.9.

    Counts the pairs among a thousand items. The limit of 0.9 keeps tight groups of nearly equal vectors together,
    whatever the share.

    Parameters
    ----------
    unit_features : Tensor of shape (N, d)
        Features of unit length.
    share : float
        Share of the pairs, from 0 to 1.

    Returns
    -------
    float
        The cosine.
    """
    some = _sample(unit_features)
    first, second = torch.triu_indices(len(some), len(some), offset=1)
    cosines = (some @ some.T)[first, second]
    place = min(len(cosines) - 1, int((1 - share) * len(cosines)))
    return min(float(cosines.sort().values[place]), _SAME)


def thresholded_cosine(unit_features: Tensor, threshold: float, dissimilar: float) -> Similarity:
    """Return the similarity function of eq. 3 of Jiang et al. 2020: 1 above the threshold, ``dissimilar`` below.

    ``unit_features (N, d)`` have unit length, so that an inner product is ``1 - cosine distance`` (eq. 2).

    Parameters
    ----------
    unit_features : Tensor of shape (N, d)
        Features of unit length.
    threshold : float
        Pairs with a larger cosine are similar.
    dissimilar : float
        Similarity of the other pairs, 0 or -1.

    Returns
    -------
    callable
        Maps indices of items, Tensors of shapes (n,) and (m,), to similarities of shape (n, m).
    """

    def similarity(a: Tensor, b: Tensor) -> Tensor:
        similar = unit_features[a] @ unit_features[b].T > threshold
        return similar.to(unit_features.dtype) * (1 - dissimilar) + dissimilar

    return similarity


def _sample(items: Tensor) -> Tensor:
    return items[:: max(1, len(items) // _SAMPLE)][:_SAMPLE]
