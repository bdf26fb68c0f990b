"""Check of what a network of another library returns."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gannet.errors import GannetError


def on_cpu(vectors: Any) -> Any:
    """Return a torch tensor, or a list of tensors, as arrays on the CPU, anything else unchanged."""
    if isinstance(vectors, list | tuple):
        return [on_cpu(vector) for vector in vectors]
    return vectors.detach().float().cpu().numpy() if hasattr(vectors, "detach") else vectors


def checked_vectors(
    name: str, vectors: Any, n: int, n_features: int | None = None, item: Literal["image", "text"] = "image"
) -> NDArray[np.float32]:
    """Return the vectors that the network ``name`` returned for ``n`` images, or other items, as float32 ``(n, d)``.

    Raises a `GannetError` if they are no finite numbers of shape ``(n, d)``, with d ``n_features`` if that is given.
    """
    vectors = np.asarray(vectors)
    if vectors.ndim != 2 or len(vectors) != n or n_features not in (None, vectors.shape[1]):
        width = "d" if n_features is None else n_features
        raise GannetError(
            f"the network {name!r} must return an array of shape ({n}, {width}) for {n} {item}s, not {vectors.shape}"
        )
    if vectors.dtype.kind not in "fiu":
        raise GannetError(f"the network {name!r} must return numbers, not {vectors.dtype}")
    floats: NDArray[np.float32] = vectors.astype(np.float32)
    if not np.isfinite(floats).all():
        raise GannetError(
            f"the network {name!r} returns NaN or infinity for {'an' if item == 'image' else 'a'} {item}: its weights "
            "are damaged, or its values exceed the range of 32-bit floats"
        )
    return floats
