"""Reading the model that a collection holds."""

from __future__ import annotations

from gannet.collection.collection import Collection
from gannet.errors import GannetError
from gannet.model import Model


def read_model(collection: Collection) -> Model:
    """Return the collection's model.

    Parameters
    ----------
    collection : Collection
        An open collection.

    Returns
    -------
    gannet.model.Model
        The model that the collection was created with.

    Raises
    ------
    GannetError
        If the model is damaged, or makes codes of another length than the collection's.
    """
    model = Model.from_bytes(collection.model(), "the collection's model")
    if model.n_bits != collection.n_bits:
        raise GannetError(
            f"the collection holds codes of {collection.n_bits} bits, but its model makes {model.n_bits}: make it "
            "again with `gannet index`"
        )
    return model
