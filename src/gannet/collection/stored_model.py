"""Reading the model that a collection holds."""

from __future__ import annotations

from typing import Protocol

from gannet.errors import GannetError
from gannet.model import Model


class HoldsModel(Protocol):
    """A collection, or a target to which one was exported."""

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""

    def model(self) -> bytes:
        """Return the model file."""


def read_model(collection: HoldsModel) -> Model:
    """Return the collection's model.

    Parameters
    ----------
    collection : Collection or Target
        An open collection, or a `gannet.engines.Target` to which one was exported.

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
