"""Diffusion maps: similarities from random walks on the graph of nearest neighbors (Coifman & Lafon, ACHA 2006)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import Tensor, nn

from gannet.errors import GannetError
from gannet.training.similarity import Similarity, threshold_of_share, thresholded_cosine

MOST_ITEMS = 20_000
"""Largest number of items in the graph; coordinates of further items follow from their neighbors in it."""

_DECAYED = 1e-12  # shorter vectors are not scaled to unit length
_PRINCIPAL = 256
_BLOCK = 1024
_DENSE = 500

Doubles = npt.NDArray[np.float64]


def walk_similarity(
    unit_features: Tensor,
    n_neighbors: int,
    n_components: int,
    n_walk_steps: int,
    similar_share: float,
    generator: torch.Generator,
) -> Similarity:
    """Return a similarity of 1 for the ``similar_share`` of pairs whose walks lead closest together, 0 for others.

    The other parameters are those of `diffusion_coordinates`.
    """
    coordinates = diffusion_coordinates(unit_features, n_neighbors, n_components, n_walk_steps, generator)
    return thresholded_cosine(coordinates, threshold_of_share(coordinates, similar_share), 0.0)


def diffusion_coordinates(
    unit_features: Tensor, n_neighbors: int, n_components: int, n_walk_steps: int, generator: torch.Generator
) -> Tensor:
    """Return the diffusion coordinates of items after some steps, scaled to unit length: ``(N, n_components)``.

    The first 256 principal components of ``unit_features (N, d)``, which have unit length, determine the neighbors. An
    item has ``n_neighbors``, but at most a tenth of all items. ``generator`` draws the items of the graph if there are
    more than `MOST_ITEMS`.

    Coordinate j is ``lambda_j^t psi_j`` of `walk_modes` at t = ``n_walk_steps``. An item outside the graph has the
    Nystrom extension, ``lambda_j^(t-1)`` times the mean of psi_j over its neighbors in the graph. An item whose
    coordinates have all decayed to zero stays zero; a `GannetError` is raised if this holds for every item.
    """
    chosen = torch.randperm(len(unit_features), generator=generator)[:MOST_ITEMS].sort().values
    reduced = _principal(unit_features, unit_features[chosen])
    k = min(n_neighbors, max(1, len(chosen) // 10))
    values, modes = walk_modes(neighbor_graph(reduced[chosen], k), n_components)
    walked = torch.empty(len(reduced), len(values))
    if len(chosen) < len(reduced):
        previous = torch.from_numpy(modes * values ** (n_walk_steps - 1)).float()
        walked[:] = previous[nearest(reduced, reduced[chosen], k)].mean(dim=1)
    walked[chosen] = torch.from_numpy(modes * values**n_walk_steps).float()
    if float(walked.norm(dim=1).max()) < _DECAYED:
        raise GannetError(f"after n_walk_steps={n_walk_steps} a walk is anywhere, wherever it began: set fewer")
    return nn.functional.normalize(walked)


def walk_modes(graph: Any, n_modes: int) -> tuple[Doubles, Doubles]:
    """Return the slowest modes of the random walk on a graph: eigenvalues ``(m,)``, falling, and vectors ``(N, m)``.

    ``graph`` is a symmetric sparse matrix A ``(N, N)`` with positive degrees D; the walk's matrix is ``P = D^-1 A``,
    and ``P psi = lambda psi``. The constant mode is left out, ``m = min(n_modes, N - 1)``, and vectors are orthonormal
    under the walk's stationary weights, the degrees. Negative eigenvalues are replaced by 0.
    """
    n = graph.shape[0]
    root = np.sqrt(np.asarray(graph.sum(axis=1), np.float64).ravel())
    scale = scipy.sparse.diags(1 / root)
    symmetric = (scale @ graph @ scale).tocsr()
    constant = root / np.linalg.norm(root)
    m = min(n_modes, n - 1)
    # Move the constant mode from eigenvalue 1 to -1, as a graph of several components has other modes at 1.
    if n <= max(_DENSE, 2 * m + 2):
        values, vectors = np.linalg.eigh(symmetric.toarray() - 2 * np.outer(constant, constant))
    else:
        deflated = scipy.sparse.linalg.LinearOperator(
            (n, n), lambda x: symmetric @ x.ravel() - 2 * constant * (constant @ x.ravel()), dtype=np.float64
        )
        start = np.random.RandomState(0).standard_normal(n)
        values, vectors = scipy.sparse.linalg.eigsh(deflated, m, which="LA", v0=start, tol=1e-6)
    order = np.argsort(-values)[:m]
    return np.clip(values[order], 0, 1), vectors[:, order] / root[:, None]


def neighbor_graph(unit_features: Tensor, k: int) -> Any:
    """Return the graph of ``unit_features (N, d)`` as a sparse 0/1 matrix ``(N, N)``, symmetric.

    An edge connects two items if one is among the ``k`` nearest of the other, and each item with itself, so that a walk
    may stay.
    """
    n = len(unit_features)
    columns = nearest(unit_features, unit_features, min(k + 1, n)).numpy().ravel()
    rows = np.repeat(np.arange(n), len(columns) // n)
    graph = scipy.sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), (n, n))
    return graph.maximum(graph.T).maximum(scipy.sparse.identity(n, format="csr"))


def nearest(queries: Tensor, items: Tensor, k: int) -> Tensor:
    """Return the rows ``(n, k)`` of ``items (m, d)`` whose inner products with ``queries (n, d)`` are largest."""
    return torch.cat([(block @ items.T).topk(k, sorted=False).indices for block in torch.split(queries, _BLOCK)])


def _principal(vectors: Tensor, sample: Tensor) -> Tensor:
    """Return ``vectors (N, d)`` projected on the sample's principal components, ``(N, 256)`` of unit length."""
    if vectors.shape[1] <= _PRINCIPAL:
        return vectors
    directions = torch.linalg.eigh(sample.T @ sample).eigenvectors[:, -_PRINCIPAL:]
    return nn.functional.normalize(vectors @ directions)
