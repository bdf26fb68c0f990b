"""The model file: what goes in comes out, and nothing but a whole one is ever used."""

from __future__ import annotations

import json
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from gannet import model as model_module
from gannet.encoders import Decoded, Linear, UnitLinear
from gannet.errors import GannetError
from gannet.methods.cibhash import CIBHash
from gannet.methods.hashgan import HashGAN
from gannet.model import FORMAT, PIXELS, Model


def encoder(kind: type[Linear] = Linear, n_bits: int = 9) -> Linear:
    random = np.random.default_rng(0)
    return kind(*(random.standard_normal(s).astype(np.float32) for s in ((5,), (5, n_bits), (n_bits,))))


@pytest.fixture
def model() -> Model:
    weights = {"conv.weight": np.arange(12, dtype=np.float32).reshape(3, 4).T, "steps": np.array(7)}
    return Model(encoder(), "lsh", {"n_bits": 9, "rate": 0.5, "on": None}, "tiny", 16, weights)


def decoded(n_features: int = 5, n_bits: int = 9) -> Decoded:
    random = np.random.default_rng(1)
    arrays = (random.standard_normal(s).astype(np.float32) for s in ((n_features,), (n_features, n_bits)))
    return Decoded(*arrays, np.float32([1.5]), np.float32([2]))


DATA = Model(encoder(UnitLinear, 3), "uhga", {"n_steps": 3, "loss": "squared"}).to_bytes()


DATA_OF_A_DECODER = Model(decoded(n_bits=3), "itq-refined", {"n_bits": 3}).to_bytes()


def assert_equal(a: Model, b: Model) -> None:
    assert type(a.encoder) is type(b.encoder)
    assert (a.method, a.settings, a.backbone, a.image_size) == (b.method, b.settings, b.backbone, b.image_size)
    for left, right in ((a.encoder.arrays(), b.encoder.arrays()), (a.weights, b.weights)):
        assert left.keys() == right.keys()
        for name in left:
            np.testing.assert_array_equal(left[name], right[name])
            assert left[name].dtype == right[name].dtype


def test_everything_comes_back(tmp_path: Path, model: Model) -> None:
    model.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    assert_equal(loaded, model)
    assert loaded.n_bits == 9
    assert loaded.to_bytes() == model.to_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert stat.S_IMODE((tmp_path / "m").stat().st_mode) == 0o644


@pytest.mark.parametrize("size", [None, 16, 64])
def test_an_encoder_of_pixels_is_saved_with_the_size_of_its_images(size: int | None, given: Any) -> None:
    hasher = HashGAN(8, width=4, n_epochs=1).fit(given(HashGAN).learn)
    assert Model.from_bytes(Model(hasher.encoder_, "hashgan", {}, PIXELS, 32).to_bytes()).image_size == 32
    for backbone in (PIXELS, None, "tiny"):
        with pytest.raises(GannetError, match="does not hold a complete model"):
            Model.from_bytes(Model(hasher.encoder_, "hashgan", {}, backbone, size).to_bytes())
    with pytest.raises(GannetError, match="does not hold a complete model"):
        Model.from_bytes(Model(encoder(), "lsh", {}, PIXELS, 32).to_bytes())


def test_settings_of_any_type_are_kept_for_the_record() -> None:
    random = np.random.RandomState(0)
    saved = Model(encoder(), "lsh", {"random_state": random, "n_bits": np.int64(9)})
    assert Model.from_bytes(saved.to_bytes()).settings == {"random_state": str(random), "n_bits": "9"}


def load_or_refuse(data: bytes, expected: Model) -> bool:
    """Return whether ``data`` loads, which it may only as the model it was made from."""
    try:
        loaded = Model.from_bytes(data, "file")
    except GannetError as error:
        assert "\n" not in str(error) and str(error).startswith("file ")
        return False
    assert_equal(loaded, expected)
    return True


def test_every_flipped_bit_is_noticed() -> None:
    expected = Model.from_bytes(DATA)
    loads = 0
    for place in range(len(DATA)):
        for bit in range(8):
            data = bytearray(DATA)
            data[place] ^= 1 << bit
            loads += load_or_refuse(bytes(data), expected)
    # What may change unnoticed is blank space in the JSON.
    assert loads <= 8 * DATA.count(b" ")


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
@settings(max_examples=500, deadline=None)
def test_any_changed_byte(place: int, value: int) -> None:
    load_or_refuse(DATA[:place] + bytes([value]) + DATA[place + 1 :], Model.from_bytes(DATA))


@given(st.integers(0, len(DATA_OF_A_DECODER) - 1), st.integers(0, 255))
@settings(max_examples=500, deadline=None)
def test_any_changed_byte_of_a_model_with_a_decoder(place: int, value: int) -> None:
    changed = DATA_OF_A_DECODER[:place] + bytes([value]) + DATA_OF_A_DECODER[place + 1 :]
    load_or_refuse(changed, Model.from_bytes(DATA_OF_A_DECODER))


@given(st.integers(0, len(DATA) - 1), st.binary(max_size=20))
@settings(max_examples=300, deadline=None)
def test_truncated_or_overwritten(length: int, tail: bytes) -> None:
    if DATA[:length] + tail != DATA:
        assert not load_or_refuse(DATA[:length] + tail, Model.from_bytes(DATA)) or tail == DATA[length:]


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_anything_else(data: bytes) -> None:
    with pytest.raises(GannetError, match="not a model of Gannet"):
        Model.from_bytes(data)


def forged(header: dict | str, tensors: dict) -> bytes:
    """Return a file whose digest is right, whatever is in it."""
    text = header if isinstance(header, str) else json.dumps(header)
    return save(tensors, metadata={FORMAT: f"{model_module._digest(text, tensors)} {text}"})


GOOD = {
    "version": 1,
    "method": "lsh",
    "settings": {},
    "encoder": "linear",
    "n_bits": 9,
    "backbone": None,
    "image_size": None,
}
TENSORS = {f"encoder.{name}": value for name, value in encoder().arrays().items()}


def test_a_forged_file_with_nothing_wrong_loads() -> None:
    assert Model.from_bytes(forged(GOOD, TENSORS)).n_bits == 9


@pytest.mark.parametrize(
    ("header", "tensors"),
    [
        ({"n_bits": 8}, {}),
        ({"n_bits": "9"}, {}),
        ({"encoder": "quadratic"}, {}),
        ({"encoder": None}, {}),
        ({"settings": 3}, {}),
        ({"settings": None}, {}),
        ({"backbone": 5, "image_size": 16}, {}),
        ({"backbone": "tiny"}, {}),
        ({"backbone": "tiny", "image_size": "16"}, {}),
        ({"image_size": 16}, {}),
        ({}, {"encoder.extra": np.zeros(2, np.float32)}),
        ({}, {"encoder.mean": np.zeros(4, np.float32)}),
        ({}, {"encoder.bias": np.zeros(8, np.float32)}),
        ({}, {"encoder.weight": np.zeros(9, np.float32)}),
        ({}, {"encoder.weight": np.zeros((0, 9), np.float32), "encoder.mean": np.zeros(0, np.float32)}),
        ({"n_bits": 0}, {"encoder.weight": np.zeros((5, 0), np.float32), "encoder.bias": np.zeros(0, np.float32)}),
    ],
)
def test_parts_that_do_not_fit_each_other(header: dict, tensors: dict) -> None:
    with pytest.raises(GannetError, match="does not hold a complete model"):
        Model.from_bytes(forged(GOOD | header, TENSORS | tensors))


@pytest.mark.parametrize("missing", sorted(GOOD))
def test_parts_that_are_missing(missing: str) -> None:
    header = {key: value for key, value in GOOD.items() if key != missing}
    with pytest.raises(GannetError):
        Model.from_bytes(forged(header, TENSORS))


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_version(version) -> None:
    with pytest.raises(GannetError, match="another version of Gannet"):
        Model.from_bytes(forged(GOOD | {"version": version}, TENSORS))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "[" * 100_000, '"x"', "{"])
def test_headers_that_are_none(text: str) -> None:
    with pytest.raises(GannetError, match="not a model of Gannet"):
        Model.from_bytes(forged(text, TENSORS))


def test_foreign_files(tmp_path: Path) -> None:
    (tmp_path / "pickle").write_bytes(pickle.dumps(encoder().arrays()))
    (tmp_path / "safetensors").write_bytes(save(TENSORS))
    (tmp_path / "others").write_bytes(save(TENSORS, metadata={"format": "pt"}))
    for name in ("pickle", "safetensors", "others"):
        with pytest.raises(GannetError, match=f"{name} is not a model of Gannet"):
            Model.load(tmp_path / name)
    for absent in (tmp_path, tmp_path / "absent"):
        with pytest.raises(GannetError, match="cannot read the model"):
            Model.load(absent)


def test_an_encoder_of_a_method_is_known_once_it_is_needed(tmp_path: Path) -> None:
    """A process that has imported no method loads a model whose encoder is defined in a method's file."""
    learned = CIBHash(4, n_steps=2, hidden=8).fit(np.random.default_rng(0).standard_normal((20, 2, 6)))
    Model.of(learned, None).save(tmp_path / "m")
    program = (
        "import sys; from gannet.encoders import Encoder; from gannet.model import Model; "
        "assert 'unit-mlp' not in Encoder.kinds; print(Model.load(sys.argv[1]).encoder.kind)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "m"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "unit-mlp"


def test_writing_replaces_the_whole_file_or_nothing(tmp_path: Path, model: Model, monkeypatch) -> None:
    path = tmp_path / "m"
    model.save(path)
    before = path.read_bytes()
    monkeypatch.setattr(
        model_module.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(GannetError, match=r"cannot write .*m: No space left on device"):
        Model(encoder(n_bits=3), "lsh").save(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m"]
    with pytest.raises(GannetError, match="No such file or directory"):
        model.save(tmp_path / "absent" / "m")


@pytest.mark.parametrize("name", ["mean", "weight", "bias"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("kind", [Linear, UnitLinear])
def test_an_encoder_with_nan_is_refused(kind: type[Linear], name: str, value: float) -> None:
    arrays = {key: array.copy() for key, array in encoder(kind).arrays().items()}
    arrays[name].flat[-1] = value
    with pytest.raises(GannetError, match="holds NaN or infinity in its encoder: make it again"):
        Model.from_bytes(Model(kind(**arrays), "lsh").to_bytes())


# Weights of the bits ---------------------------------------------------------------------------------


def test_the_encoder_weighs_the_bits(tmp_path: Path) -> None:
    features = np.random.default_rng(2).standard_normal((4, 5))
    plain, refined = Model(encoder(), "itq"), Model(decoded(), "itq-refined")
    refined.save(tmp_path / "m")
    loaded = Model.load(tmp_path / "m")
    assert_equal(loaded, refined)
    np.testing.assert_array_equal(plain.bit_weights(features), encoder().values(features.astype(np.float32)))
    centered = features / np.linalg.norm(features, axis=1, keepdims=True) - decoded().mean
    expected = centered / np.linalg.norm(centered, axis=1, keepdims=True) @ decoded().weight
    np.testing.assert_allclose(loaded.bit_weights(features), expected, rtol=1e-4, atol=1e-5)
    assert plain.bit_weights(np.empty((0, 5))).shape == (0, 9)


def test_a_model_of_version_01_is_stored_as_before() -> None:
    data = (Path(__file__).parent / "data_v01" / "vectors.model").read_bytes()
    assert Model.from_bytes(data).to_bytes() == data


def test_values_that_overflow_are_not_weights() -> None:
    large = np.full((1, 5), 3e38)
    with pytest.raises(GannetError, match="values of row 1 are too large"):
        Model(encoder(), "itq").bit_weights(np.concatenate([np.zeros((1, 5)), large]))
