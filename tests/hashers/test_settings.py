"""Settings as annotated attributes: constructors, defaults, documentation, copies, and names that have changed."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import check_estimator

from gannet.encoders import Linear
from gannet.errors import GannetError
from gannet.hashers import all_hashers
from gannet.hashers.base import Hasher
from gannet.hashers.images import ViewsHasher
from gannet.hashers.pairwise import PairwiseHasher
from gannet.hashers.settings import RENAMED_SETTINGS, current_settings, defaults, make_hasher


class Directions(Hasher):
    """Signs along random directions.

    The second paragraph.

    Parameters
    ----------
    scale : float, default=2.0
        Length of the directions.
        It changes no code.

    Notes
    -----
    A note.
    """

    name = "directions"
    reference = "a test"

    scale: float = 2.0

    def _learn(self, features: np.ndarray) -> Linear:
        random = np.random.default_rng(self.random_state)
        weight = (self.scale * random.normal(size=(features.shape[1], self.n_bits))).astype(np.float32)
        return Linear(features.mean(axis=0), weight, np.zeros(self.n_bits, np.float32))


class LongDirections(Directions):
    """`Directions` with another default."""

    name = "long-directions"

    scale: float = 5.0
    random_state: int | None = 7


class OwnConstructor(Directions):
    """A constructor written by hand."""

    name = "own-constructor"

    def __init__(self, n_bits: int = 8, *, length: float = 1.0, random_state: int | None = 0) -> None:
        self.n_bits = n_bits
        self.length = length
        self.random_state = random_state


class OwnConstructorAgain(OwnConstructor):
    """Inherits that constructor."""

    name = "own-constructor-again"


CLASSES = [Directions, LongDirections, OwnConstructor, OwnConstructorAgain]


def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(80, 6)).astype(np.float32)


@pytest.mark.parametrize("cls", CLASSES)
def test_scikit_learn_checks_pass_for_outside_methods(cls: type[Hasher]) -> None:
    check_estimator(cls(3), on_skip=None)


def test_the_constructor_takes_the_length_then_settings_by_name() -> None:
    hasher = Directions(12, scale=3.0)
    assert hasher.get_params() == {"n_bits": 12, "random_state": 0, "scale": 3.0}
    assert Directions().get_params() == {"n_bits": 64, "random_state": 0, "scale": 2.0}
    assert repr(hasher) == "Directions(n_bits=12, scale=3.0)"
    with pytest.raises(TypeError):
        Directions(12, 3.0)  # type: ignore[misc]
    with pytest.raises(TypeError, match="scael"):
        Directions(scael=3.0)  # type: ignore[call-arg]


def test_an_annotated_attribute_overrides_a_default() -> None:
    assert LongDirections().get_params() == {"n_bits": 64, "random_state": 7, "scale": 5.0}
    assert Directions().scale == 2.0


@pytest.mark.parametrize("name", ["scale", "n_bits", "random_state"])
def test_an_override_without_annotation_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=rf"Wrong.{name} overrides a setting: annotate it"):
        type("Wrong", (Directions,), {name: 3, "__module__": __name__})


def test_other_attributes_need_no_annotation() -> None:
    class Named(PairwiseHasher):
        name = "named"
        reference = "a test"
        uses_attention = True

        def pair_similarity(self, features: np.ndarray) -> Any: ...

        def pair_loss(self) -> Any: ...

    assert "observer" not in Named().get_params() and Named().observer is None


@pytest.mark.parametrize("cls", [OwnConstructor, OwnConstructorAgain])
def test_a_constructor_written_by_hand_is_kept(cls: type[OwnConstructor]) -> None:
    hasher = cls(4, length=2.0)
    assert hasher.get_params() == {"n_bits": 4, "length": 2.0, "random_state": 0}
    assert defaults(cls) == {"length": 1.0}
    assert hasher.fit_transform(features()).shape == (80, 1)


@pytest.mark.parametrize("cls", CLASSES)
def test_copies_have_the_settings_and_the_encoder(cls: type[Hasher]) -> None:
    fitted = cls(5, random_state=3).fit(features())
    expected = fitted.transform(features())
    for other in (copy.copy(fitted), copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert other.get_params() == fitted.get_params() and other != fitted
        np.testing.assert_array_equal(other.transform(features()), expected)
    assert not hasattr(clone(fitted), "encoder_")
    again = clone(fitted).set_params(n_bits=6).fit(features())
    assert again.decision_function(features()).shape == (80, 6)
    assert len({fitted, again}) == 2  # hashed by identity


def test_inherited_settings_are_added_to_the_documentation() -> None:
    assert (
        Directions.__doc__
        == inspect.cleandoc("""
        Signs along random directions.

        The second paragraph.

        Parameters
        ----------
        n_bits : int, default=64
            Length of the codes in bits.
        scale : float, default=2.0
            Length of the directions.
            It changes no code.
        random_state : int or None, default=0
            Seed for all random numbers of `fit`. With None, each fit draws other numbers.

        Notes
        -----
        A note.
    """)
        + "\n"
    )
    assert "scale : float, default=2.0\n" in LongDirections.__doc__
    assert LongDirections.__doc__.startswith("`Directions` with another default.\n\nParameters\n----------\nn_bits : ")


def test_a_class_without_documentation_stays_without_a_section() -> None:
    class Bare(ViewsHasher):
        name = "bare"

    assert "Parameters" not in (Bare.__doc__ or "")


@pytest.mark.parametrize("name", sorted(all_hashers()))
def test_every_setting_is_documented_with_its_default(name: str) -> None:
    cls = all_hashers()[name]
    documented: dict[str, str] = {}
    for names, default in re.findall(r"^(\w[\w, ]*) : .*, default=(.*)$", cls.__doc__ or "", re.MULTILINE):
        documented |= dict.fromkeys(names.split(", "), default)
    known = {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}
    assert documented == {name: repr(value).replace("'", '"') for name, value in known.items()}
    assert next(iter(documented)) == "n_bits" and list(documented)[-1] == "random_state"


def test_stored_settings_get_their_current_names() -> None:
    stored = {"n_neighbours": 5, "n_coordinates": 6, "n_steps": 7}
    assert current_settings(stored) == {"n_neighbors": 5, "n_components": 6, "n_steps": 7}
    current = defaults(all_hashers()["uhga-graph"])
    assert set(RENAMED_SETTINGS.values()) <= current.keys() and not RENAMED_SETTINGS.keys() & current.keys()


def test_old_names_are_refused_with_the_current_name() -> None:
    with pytest.raises(GannetError, match="unknown setting of uhga-graph 'n_neighbours'; did you mean 'n_neighbors'"):
        make_hasher("uhga-graph", 8, 0, {"n_neighbours": "3"})
