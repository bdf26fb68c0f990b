"""The goals that a search can have, and the method for each."""

from __future__ import annotations

from dataclasses import dataclass

from gannet.errors import GannetError, unknown_name


@dataclass(frozen=True)
class Goal:
    """A goal and the names of the methods that serve it best: for images, and for a matrix of features.

    ``training`` is the method if the image network is trained too; None if there is none.
    """

    description: str
    images: str
    matrix: str
    training: str | None


GOALS = {
    "nearest": Goal(
        "find the items that the features call nearest", images="itq-refined", matrix="itq-refined", training=None
    ),
    "kind": Goal("find things of the same kind", images="uhga-views", matrix="uhga-graph", training="uhga"),
}


def method_for(goal: str | None = None, *, images: bool, train_backbone: bool = False) -> str:
    """Return the name of the method for a goal.

    Parameters
    ----------
    goal : {"nearest", "kind"}, default=None
        "nearest" finds the items that the features call nearest, "kind" finds things of the same kind. The default is
        "kind" for images and "nearest" for a matrix.
    images : bool
        Whether the source holds images, and not a matrix of features.
    train_backbone : bool, default=False
        Whether the image network is trained too.

    Returns
    -------
    str
        Name of the method, for `get_hasher`.

    Raises
    ------
    GannetError
        If there is no such goal (the message suggests the nearest name), or no method for it that trains the network.

    Examples
    --------
    >>> from gannet.hashers import method_for
    >>> method_for(images=False), method_for("kind", images=False)
    ('itq-refined', 'uhga-graph')
    """
    if goal is None:
        goal = "kind" if images else "nearest"
    if goal not in GOALS:
        raise unknown_name("goal", goal, GOALS)
    chosen = GOALS[goal]
    if train_backbone:
        if chosen.training is None:
            raise GannetError(f"no method for the goal {goal!r} trains the image network: leave --train-backbone out")
        return chosen.training
    return chosen.images if images else chosen.matrix
