"""The contract that every method of the hashers folder is held to; a new file there is tested by being there."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from gannet.codes import n_bytes
from gannet.errors import GannetError
from gannet.hashers import all_hashers, get_hasher
from gannet.hashers.base import Hasher
from gannet.hashers.settings import defaults, make_hasher
from gannet.model import PIXELS, Model

QUICK = {"n_steps": 3, "n_contrast_steps": 3, "n_epochs": 1, "batch_size": 8, "width": 4}
NAMES = sorted(all_hashers())
OF_IMAGES = [name for name in NAMES if get_hasher(name)().takes.kind != "features"]

Data = Callable[[type[Hasher]], Any]


def make(name: str, n_bits: int = 8, seed: int = 0, **settings: Any) -> Hasher:
    cls = get_hasher(name)
    quick = {key: value for key, value in QUICK.items() if key in inspect.signature(cls).parameters}
    return cls(n_bits, random_state=seed, **(quick | settings))


@pytest.fixture
def features(given: Data) -> np.ndarray:
    return given(Hasher).learn


# scikit-learn checks estimators of matrices alone, and says so of others.
# Each method has two bits; hybrid codes have those of two methods.
@parametrize_with_checks([make(name, 4 if name.startswith("hybrid") else 2) for name in NAMES if name not in OF_IMAGES])
def test_scikit_learn_contract(estimator: Hasher, check: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_tags_match_the_data_that_a_method_takes(name: str) -> None:
    tags = get_tags(make(name))
    takes = get_hasher(name)().takes.kind
    assert tags.input_tags.two_d_array == (takes == "features")
    assert tags.input_tags.three_d_array == (takes == "views")
    assert not tags.target_tags.required


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_bits", [1, 7, 8, 17])
def test_codes_are_packed_signs(name: str, n_bits: int, given: Data) -> None:
    data = given(get_hasher(name))
    hasher = make(name, n_bits).fit(data.learn)
    codes, values = hasher.transform(data.encode), hasher.decision_function(data.encode)
    assert codes.shape == (len(data.encode), n_bytes(n_bits)) and codes.dtype == np.uint8
    assert values.shape == (len(data.encode), n_bits) and values.dtype == np.float32
    # A value on the border may round to either side when rows are multiplied one by one or together.
    clear = np.abs(values).min(axis=1) > 1e-4
    assert clear.any()
    assert np.array_equal(codes[clear], np.packbits(values[clear] >= 0, axis=1))


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_codes_and_input_untouched(name: str, given: Data) -> None:
    learn, encode = given(get_hasher(name))
    kept = learn.copy(), encode.copy()
    first = make(name).fit(learn).transform(encode)
    again = make(name).fit(learn, y=np.arange(len(learn))).transform(encode)
    assert np.array_equal(first, again)
    assert np.array_equal(learn, kept[0]) and np.array_equal(encode, kept[1])
    assert len(np.unique(first, axis=0)) > 3


@pytest.mark.parametrize("name", NAMES)
def test_a_method_that_is_not_fitted_says_so(name: str, given: Data) -> None:
    data = given(get_hasher(name))
    fitted = make(name).fit(data.learn)
    for unfitted in (make(name), clone(fitted)):
        for method in (unfitted.transform, unfitted.decision_function):
            with pytest.raises(NotFittedError):
                method(data.encode)


@pytest.mark.parametrize("name", NAMES)
def test_the_encoder_survives_the_model_file(name: str, given: Data) -> None:
    data = given(get_hasher(name))
    hasher = make(name).fit(data.learn)
    is_image = get_hasher(name)().takes.kind == "pixels"
    of_images = {"backbone": PIXELS, "image_size": data.encode.shape[1]} if is_image else {}
    saved = Model(hasher.encoder_, name, hasher.get_params(), **of_images)
    model = Model.from_bytes(saved.to_bytes())
    assert model.method == name and model.n_bits == 8
    assert np.array_equal(model.encoder.encode(data.encode), hasher.transform(data.encode))


@pytest.mark.parametrize("name", NAMES)
def test_too_few_and_constant_items_are_one_clear_line(name: str, given: Data) -> None:
    data = given(get_hasher(name)).learn
    unfit = data[:5], np.ones_like(data), np.full(data.shape, np.nan), data[..., :0], data[0], data[:, ..., None]
    for bad in unfit:
        with pytest.raises(GannetError) as caught:
            make(name).fit(bad)
        assert "\n" not in str(caught.value) and len(str(caught.value)) > 20


@pytest.mark.parametrize("name", OF_IMAGES)
def test_features_given_to_a_method_of_images_name_a_way_out(name: str, features: np.ndarray) -> None:
    with pytest.raises(GannetError, match=rf"^{name} learns from images: give .*, such as uhga$"):
        make(name).fit(features)


@pytest.mark.parametrize("name", NAMES)
def test_new_items_of_another_shape_are_refused(name: str, given: Data) -> None:
    data = given(get_hasher(name))
    hasher = make(name).fit(data.learn)
    for other in (data.encode[:, 1:], data.encode[0], np.zeros((3, 4, 5), np.float32)):
        with pytest.raises(GannetError) as caught:
            hasher.transform(other)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_methods_describe_themselves(name: str) -> None:
    cls = get_hasher(name)
    assert cls.name == name and len(cls.reference) > 20
    assert cls.__doc__ and len(cls.__doc__) > 100
    assert next(iter(inspect.signature(cls).parameters)) == "n_bits"
    hasher = make_hasher(name, 12, 7, {key: str(value) for key, value in defaults(cls).items() if value is not None})
    assert clone(hasher).get_params() == cls(12, random_state=7).get_params()


def test_gradient_attention_is_refused_without_pairs() -> None:
    with pytest.raises(GannetError, match="does not learn from pairs"):
        make_hasher("itq", 8, 0, {"gradient_attention": "true"})


@pytest.mark.parametrize("seed", [-1, "x", 2**32])
def test_seeds_that_are_none_are_refused(seed: Any, features: np.ndarray) -> None:
    with pytest.raises(GannetError, match="random_state must be a whole number from 0"):
        make("itq", seed=seed).fit(features)


@pytest.mark.parametrize("setting", [{"n_stepz": "3"}, {"n_steps": "many"}, {"gradient_attention": "perhaps"}])
def test_settings_that_do_not_fit_are_refused(setting: dict[str, str]) -> None:
    with pytest.raises(GannetError):
        make_hasher("uhga", 8, 0, setting)


def test_plain_uhga_is_uhga_without_attention(features: np.ndarray) -> None:
    plain = make("uhga-plain").fit(features).decision_function(features)
    off = make("uhga", gradient_attention=False).fit(features).decision_function(features)
    on = make("uhga").fit(features).decision_function(features)
    assert np.array_equal(plain, off)
    assert not np.array_equal(plain, on)


def test_paper_settings_are_reachable_and_train(features: np.ndarray) -> None:
    paper = make("uhga", attention_hidden=100, optimizer="sgd", learning_rate=0.01, loss="likelihood", n_steps=20,
                 similarity="cosine", similarity_threshold=0.3, dissimilar=-1.0, tanh_growth=0.005)  # fmt: skip
    codes = paper.fit(features).transform(features)
    assert len(np.unique(codes, axis=0)) > 5


@pytest.mark.parametrize("name", NAMES)
def test_codes_as_a_data_frame(name: str, given: Data) -> None:
    pytest.importorskip("pandas")
    data = given(get_hasher(name))
    expected = make(name, 17).fit(data.learn).transform(data.encode)
    with sklearn.config_context(transform_output="pandas"):
        hasher = make(name, 17).fit(data.learn)
        frames = [hasher.transform(data.encode), clone(hasher).fit(data.learn).transform(data.encode)]
    frames.append(hasher.set_output(transform="pandas").transform(data.encode))
    for frame in frames:
        assert list(frame.columns) == ["code0", "code1", "code2"] == list(hasher.get_feature_names_out())
        assert np.array_equal(frame, expected) and set(frame.dtypes) == {np.dtype(np.uint8)}
    assert np.array_equal(hasher.set_output(transform="default").transform(data.encode), expected)
    with pytest.raises(NotFittedError):
        make(name).get_feature_names_out()


@pytest.mark.parametrize(
    "name", [name for name in OF_IMAGES if "n_views" in inspect.signature(get_hasher(name)).parameters]
)
def test_the_number_of_views_is_bounded(name: str) -> None:
    with pytest.raises(GannetError, match="n_views must be at most 1,000, not 1,000,000,000,000"):
        make(name, n_views=10**12).takes  # noqa: B018
