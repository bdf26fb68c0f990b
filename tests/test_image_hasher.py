"""ImageHasher: images and matrices in, codes out, saved and loaded, with a small network in place of a large one."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gannet import ITQ, LSH, UHGA, FineTuning, GannetError, ImageHasher, backbones
from gannet.backbones.augment import Mirrored, random_views
from gannet.backbones.base import Backbone
from gannet.backbones.extractor import FeatureExtractor
from gannet.codes import n_bytes
from gannet.data import MatrixSource, decode, digest, open_source
from gannet.feature_reader import FeatureReader
from gannet.hashers.takes import FromPixels, FromViews
from gannet.methods.cibhash import CIBHash
from gannet.methods.hashgan import HashGAN
from gannet.methods.uhga_views import UHGAViews
from gannet.model import Model
from gannet.training import image_loop
from gannet.training.trainer import PairwiseTrainer


class Tiny(Backbone):
    """One convolution with weights made up."""

    name = "tiny"
    reference = "none"
    n_features = 20
    default_size = 16
    min_size = 8
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    seed = 0

    def build(self) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 20, 4, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def weights_file(self) -> Path:
        raise AssertionError("the weights are below")

    def weights(self, source: Any = None) -> dict[str, Any]:
        random = np.random.default_rng(self.seed)
        shapes = {"0.weight": (20, 3, 4, 4), "0.bias": (20,)}
        return {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    real = backbones.get_backbone
    monkeypatch.setattr(
        backbones, "get_backbone", lambda name, size=None: Tiny(size) if name == "tiny" else real(name, size)
    )


@pytest.fixture
def pixels() -> np.ndarray:
    """40 images of large patches."""
    patches = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
    return patches.repeat(6, axis=1).repeat(6, axis=2)


@pytest.fixture
def folder(tmp_path: Path, pixels: np.ndarray) -> Path:
    path = tmp_path / "photos"
    path.mkdir()
    for i, image in enumerate(pixels):
        Image.fromarray(image).save(path / f"{i:02}.png")
    return path


@pytest.fixture
def fitted(pixels: np.ndarray) -> ImageHasher:
    return ImageHasher(LSH(24), "tiny").fit(list(pixels))


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_all_forms_of_the_same_images_give_the_same_codes(fitted: ImageHasher, folder: Path, pixels) -> None:
    expected = fitted.encode(list(pixels))
    assert expected.dtype == np.uint8 and expected.shape == (40, n_bytes(24))
    assert len(np.unique(expected, axis=0)) > 20
    for images in (folder, str(folder), open_source(folder), [png(image) for image in pixels]):
        np.testing.assert_array_equal(fitted.encode(images), expected)


@pytest.mark.parametrize("n_bits", [1, 7, 20])
def test_codes_are_the_hashers_codes_of_the_features(pixels, n_bits: int) -> None:
    hasher = ImageHasher(ITQ(n_bits), "tiny").fit(list(pixels))
    features = hasher.features(list(pixels))
    assert features.values.shape == (40, 20) and features.values.dtype == np.float32
    assert features.paths[7] == "images#7" and len(set(features.digests)) == 40 and not features.skipped
    np.testing.assert_array_equal(
        hasher.encode(list(pixels)), ITQ(n_bits).fit(features.values).transform(features.values)
    )


def test_a_loaded_hasher_is_the_same_without_the_published_weights(
    tmp_path: Path, fitted: ImageHasher, pixels, monkeypatch
) -> None:
    fitted.save(tmp_path / "m")
    monkeypatch.setattr(Tiny, "seed", 1)
    loaded = ImageHasher.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.encode(list(pixels)), fitted.encode(list(pixels)))
    assert (loaded.model.backbone, loaded.model.image_size, loaded.model.n_bits) == ("tiny", 16, 24)
    assert loaded.model.to_bytes() == fitted.model.to_bytes()


def test_a_model_encodes_at_the_size_it_was_fitted_at(fitted: ImageHasher, pixels, monkeypatch) -> None:
    model = Model.from_bytes(fitted.model.to_bytes())
    expected = fitted.encode(list(pixels))
    monkeypatch.setattr(Tiny, "default_size", 32)
    np.testing.assert_array_equal(ImageHasher(model=model).encode(list(pixels)), expected)


def test_a_model_of_vectors(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((50, 6))
    np.save(tmp_path / "v.npy", vectors)
    hasher = ImageHasher(LSH(12)).fit(tmp_path / "v.npy")
    hasher.save(tmp_path / "m")
    loaded = ImageHasher.load(tmp_path / "m")
    assert loaded.model.backbone is None and loaded.model.weights == {}
    np.testing.assert_array_equal(loaded.encode(MatrixSource("v", vectors)), LSH(12).fit(vectors).transform(vectors))


def test_fitting_again_replaces_the_model(tmp_path: Path, pixels) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((50, 6)))
    vectors_first = ImageHasher(LSH(12), "tiny").fit(tmp_path / "v.npy")
    with pytest.raises(GannetError, match="feature vectors, not images"):
        vectors_first.encode(list(pixels))
    assert vectors_first.fit(list(pixels)).encode(list(pixels)).shape == (40, 2)
    images_first = ImageHasher(LSH(12), "tiny").fit(list(pixels))
    with pytest.raises(GannetError, match="reads images with tiny"):
        images_first.encode(tmp_path / "v.npy")
    assert images_first.fit(tmp_path / "v.npy").encode(tmp_path / "v.npy").shape == (50, 2)


def test_the_second_fit_encodes_nothing(folder: Path, monkeypatch) -> None:
    ImageHasher(LSH(8), "tiny").fit(folder)

    def stream(self, images):
        assert next(iter(images), None) is None, "an image was encoded again"
        return iter(())

    monkeypatch.setattr(FeatureExtractor, "stream", stream)
    assert ImageHasher(ITQ(16), "tiny").fit(folder).encode(folder).shape == (40, 2)


def test_bad_images_are_skipped_in_fitting_and_refused_in_encoding(fitted: ImageHasher, pixels) -> None:
    images = [*pixels[:3], b"", b"no picture", *pixels[3:]]
    found = fitted.features(images)
    assert [item.path for item in found.skipped] == ["images#3", "images#4"]
    assert found.skipped[0].reason == "empty file" and found.paths[3] == "images#5"
    np.testing.assert_array_equal(found.values, fitted.features(list(pixels)).values)
    np.testing.assert_array_equal(
        ImageHasher(LSH(24), "tiny").fit(images).model.encoder.arrays()["weight"],
        fitted.model.encoder.arrays()["weight"],
    )
    with pytest.raises(GannetError, match="cannot read images#3: empty file"):
        fitted.encode(images)


@pytest.mark.parametrize("images", [[], [b""], [b"x", b""]])
def test_nothing_to_learn_from(images) -> None:
    with pytest.raises(GannetError, match="none of the images could be read"):
        ImageHasher(LSH(8), "tiny").fit(images)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((9, 9, 5), np.uint8),
        np.zeros((9, 9, 9), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((4, 4), complex),
        np.full((4, 4, 3), np.nan),
        np.full((4, 4), -1.0),
        np.full((4, 4), 256),
        np.array([["a"]]),
        None,
        17,
    ],
)
def test_arrays_that_are_not_pictures(fitted: ImageHasher, image) -> None:
    with pytest.raises(GannetError, match=r"cannot read images#0: an (image|array)") as caught:
        fitted.encode([image])
    assert len(str(caught.value).splitlines()) == 1


GRAY = np.random.default_rng(5).integers(0, 256, (20, 30), dtype=np.uint8)
RGB = np.repeat(GRAY[..., None], 3, axis=2)


def tensor(array):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


@pytest.mark.parametrize(
    "form",
    [
        lambda: GRAY,
        lambda: GRAY[..., None],
        lambda: np.stack([GRAY, np.full_like(GRAY, 255)], axis=2),
        lambda: np.dstack([RGB, np.full_like(GRAY, 255)]),
        lambda: RGB.transpose(2, 0, 1),
        lambda: RGB.astype(np.int64),
        lambda: RGB.astype(np.float64),
        lambda: RGB.astype(np.float32) / 255,
        lambda: (RGB / 255).astype(np.float16),
        lambda: Image.fromarray(GRAY),
        lambda: Image.fromarray(RGB).convert("RGBA"),
        lambda: tensor(RGB.transpose(2, 0, 1)),
        lambda: tensor(RGB.transpose(2, 0, 1).astype(np.float32) / 255).requires_grad_(),
        lambda: tensor(RGB.transpose(2, 0, 1).astype(np.float32) / 255).bfloat16().float(),
        lambda: tensor(GRAY[None]),
        lambda: tensor(GRAY),
    ],
)
def test_forms_of_one_image(fitted: ImageHasher, form) -> None:
    image = form()
    expected = fitted.features([RGB]).values
    for images in ([image], (item for item in [image]), iter([image]), (image,)):
        np.testing.assert_allclose(fitted.features(images).values, expected, atol=0.02)


def test_batches_and_sequences(fitted: ImageHasher, pixels, tmp_path: Path) -> None:
    expected = fitted.features(list(pixels[:4])).values
    channels_first = tensor(pixels[:4].transpose(0, 3, 1, 2))
    for images in (pixels[:4], pixels[:4] / 255, channels_first, map(Image.fromarray, pixels[:4])):
        np.testing.assert_allclose(fitted.features(images).values, expected, atol=0.02)
    paths = []
    for number, image in enumerate(pixels[:4]):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        paths.append(str(tmp_path / f"{number}.png"))

    class Series:
        """As a pandas Series: it can be iterated, but is no Sequence."""

        ndim, dtype = 1, np.dtype(object)

        def __iter__(self):
            return iter(paths)

    for images in (Series(), np.array(paths), np.array(paths, object), (Path(path) for path in paths)):
        assert np.array_equal(fitted.features(images).values, expected)


def test_an_array_of_gray_images_is_no_single_image(fitted: ImageHasher, pixels) -> None:
    gray = pixels[:5, :12, :, 0]
    assert np.array_equal(fitted.encode(gray), fitted.encode(list(gray)))
    for image in (gray[0], pixels[0], pixels[0].transpose(2, 0, 1), gray[:1]):
        with pytest.raises(GannetError, match="put a single image into a list"):
            fitted.encode(image)


def test_a_rotated_photo_is_turned(fitted: ImageHasher) -> None:
    photo = Image.fromarray(RGB)
    photo.getexif()[0x0112] = 6
    turned = fitted.features([np.rot90(RGB, -1).copy()]).values
    assert np.array_equal(fitted.features([photo]).values, turned)


def test_no_images_give_no_codes(fitted: ImageHasher) -> None:
    assert fitted.encode([]).shape == (0, 3)


def test_one_image_alone_has_the_same_code(fitted: ImageHasher, pixels) -> None:
    np.testing.assert_array_equal(fitted.encode([pixels[5]]), fitted.encode(list(pixels))[5:6])


def test_the_order_of_calls(tmp_path: Path, fitted: ImageHasher, pixels) -> None:
    for call in (lambda h: h.encode(list(pixels)), lambda h: h.save(tmp_path / "m"), lambda h: h.model):
        with pytest.raises(GannetError, match="not fitted"):
            call(ImageHasher(LSH(8), "tiny"))
    assert not (tmp_path / "m").exists()
    with pytest.raises(GannetError, match="not trained again"):
        ImageHasher(model=fitted.model).fit(list(pixels))


def test_fewer_images_than_bits_and_unknown_backbones(pixels) -> None:
    with pytest.raises(GannetError, match="too few to learn 64 bits"):
        ImageHasher(LSH(64), "tiny").fit(list(pixels))
    with pytest.raises(GannetError, match="unknown backbone 'tinny'"):
        ImageHasher(LSH(8), "tinny").fit(list(pixels))


def test_constant_images() -> None:
    with pytest.raises(GannetError, match="all items have the same features"):
        ImageHasher(LSH(8), "tiny").fit([np.zeros((9, 9, 3), np.uint8)] * 20)


def test_a_single_image_or_another_object_is_refused_with_advice(tmp_path: Path) -> None:
    hasher = ImageHasher()
    for images in (b"", np.zeros((8, 8, 3), np.uint8), Image.new("L", (9, 9)), {"a": b""}, {b""}, 17):
        with pytest.raises(GannetError, match="put a single image into a list"):
            hasher.features(images)  # type: ignore[arg-type]


def test_views_are_the_networks_features_of_changed_images(fitted: ImageHasher, pixels) -> None:
    images = list(pixels[:5])
    found = fitted.reader.read(images, FromViews(3))
    assert found.values.shape == (5, 3, 20) and found.paths == fitted.features(images).paths
    for image, row in zip(images, found.values, strict=True):
        changed = [view.apply(decode(image, 24), 16, digest(image)) for view in random_views(3)]
        np.testing.assert_allclose(row, fitted.features(changed).values, atol=1e-5)
    beside = fitted.reader.read(images, FromViews(3, True)).values
    np.testing.assert_array_equal(beside[:, 0], fitted.features(images).values)
    np.testing.assert_array_equal(beside[:, 1:], found.values[:, :2])
    mirrored = fitted.reader.read_view(images, Mirrored())
    flipped = fitted.features([decode(image, 16)[:, ::-1].copy() for image in images])
    np.testing.assert_allclose(mirrored.values, flipped.values, atol=1e-5)


def test_views_are_made_once(fitted: ImageHasher, folder: Path, monkeypatch) -> None:
    first = fitted.reader.read(folder, FromViews(2))

    def stream(self, images):
        assert next(iter(images), None) is None, "a view was encoded again"
        return iter(())

    monkeypatch.setattr(FeatureExtractor, "stream", stream)
    np.testing.assert_array_equal(fitted.reader.read(folder, FromViews(2)).values, first.values)
    # More views are other views beside the same ones.
    monkeypatch.undo()
    np.testing.assert_array_equal(fitted.reader.read(folder, FromViews(3)).values[:, :2], first.values)


def test_an_image_that_cannot_be_read_has_no_views_and_no_pixels(fitted: ImageHasher, pixels) -> None:
    images = [b"", *pixels[:2], b"no picture", pixels[2]]
    whole = fitted.reader.read(list(pixels[:3]), FromViews(3))
    for found in (fitted.reader.read(images, FromViews(3)), fitted.reader.read(images, FromPixels(8))):
        assert [item.path for item in found.skipped] == ["images#0", "images#3"]
        assert list(found.paths) == ["images#1", "images#2", "images#4"] and len(found.values) == 3
    np.testing.assert_array_equal(fitted.reader.read(images, FromViews(3)).values, whole.values)
    expected = [decode(image, 8) for image in pixels[:3]]
    np.testing.assert_array_equal(fitted.reader.read(images, FromPixels(8)).values, expected)
    assert fitted.reader.read([], FromPixels(8)).values.shape == (0, 8, 8, 3) and fitted.reader.read(
        [], FromViews(2)
    ).values.shape == (0, 2, 20)


@pytest.mark.parametrize(("method", "first"), [(CIBHash, False), (UHGAViews, True)])
def test_a_method_of_views_learns_from_views_and_encodes_images(tmp_path: Path, pixels, method, first) -> None:
    settings = {"n_views": 3, "n_steps": 5}
    hasher = ImageHasher(method(12, **settings), "tiny").fit(list(pixels))
    alone = method(12, **settings).fit(hasher.reader.read(list(pixels), FromViews(3, first)).values)
    codes = hasher.encode(list(pixels))
    np.testing.assert_array_equal(codes, alone.transform(hasher.features(list(pixels)).values))
    hasher.save(tmp_path / "m")
    loaded = ImageHasher.load(tmp_path / "m")
    assert (loaded.model.backbone, loaded.model.image_size) == ("tiny", 16)
    np.testing.assert_array_equal(loaded.encode(list(pixels)), codes)


def test_a_method_of_pixels_needs_no_network(tmp_path: Path, pixels, monkeypatch) -> None:
    monkeypatch.setattr(backbones, "get_backbone", lambda *_: pytest.fail("a network was asked for"))
    settings = {"width": 2, "n_epochs": 1, "batch_size": 10}
    hasher = ImageHasher(HashGAN(9, **settings)).fit(list(pixels))
    small = np.stack([decode(image, 32) for image in pixels])
    codes = hasher.encode(list(pixels))
    np.testing.assert_array_equal(codes, HashGAN(9, **settings).fit(small).transform(small))
    hasher.save(tmp_path / "m")
    loaded = ImageHasher.load(tmp_path / "m")
    assert (loaded.model.backbone, loaded.model.image_size, loaded.model.weights) == ("pixels", 32, {})
    np.testing.assert_array_equal(loaded.encode([png(image) for image in pixels]), codes)
    with pytest.raises(GannetError, match="a model of pixels has no image network"):
        ImageHasher.load(tmp_path / "m", backbone="tiny")


def test_too_few_views_are_refused_before_any_is_made(pixels, monkeypatch) -> None:
    monkeypatch.setattr(FeatureExtractor, "stream", lambda *_: pytest.fail("a view was made"))
    with pytest.raises(GannetError, match="cibhash compares views of an image: give at least 2 of each, not 1"):
        ImageHasher(CIBHash(8, n_views=1), "tiny").fit(list(pixels))


@pytest.mark.parametrize("method", [CIBHash(8), HashGAN(8)])
def test_a_matrix_cannot_teach_a_method_of_images(tmp_path: Path, method) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((50, 6)))
    with pytest.raises(GannetError, match=f"{method.name} learns from images: give a folder .* such as uhga"):
        ImageHasher(method, "tiny").fit(tmp_path / "v.npy")
    for takes in (FromViews(2), FromPixels(8)):
        with pytest.raises(GannetError, match="is a matrix, which has no views and no pixels"):
            FeatureReader("tiny").read(tmp_path / "v.npy", takes)


# Training the image network


def uhga(**settings: Any) -> UHGA:
    return UHGA(8, **{"n_steps": 4, "batch_size": 8, "attention_hidden": 4} | settings)


def test_training_the_network_changes_codes_and_is_saved(tmp_path: Path, pixels) -> None:
    frozen = ImageHasher(uhga(), "tiny").fit(list(pixels))
    hasher = ImageHasher(uhga(), "tiny", train_backbone=FineTuning(warm_up=20)).fit(list(pixels))
    published = Tiny().weights()
    for name, weights in hasher.model.weights.items():
        assert weights.shape == published[name].shape and np.isfinite(weights).all()
        assert not np.array_equal(weights, published[name])
    codes, found = hasher.encode(list(pixels)), hasher.features(list(pixels))
    assert not np.allclose(found.values, frozen.features(list(pixels)).values)  # cached under another key
    np.testing.assert_array_equal(hasher.hasher.transform(found.values), codes)
    hasher.save(tmp_path / "m")
    loaded = ImageHasher.load(tmp_path / "m")
    np.testing.assert_array_equal(loaded.encode(list(pixels)), codes)
    assert loaded.model.settings["train_backbone"]["warm_up"] == 20 and loaded.model.settings["n_steps"] == 4


def test_codes_are_those_of_the_network_that_was_trained(pixels, monkeypatch) -> None:
    """The fast runtime and the encoder give what the torch network gave, and a second fit starts afresh."""
    networks = []
    real = image_loop.train_on_images

    def keeping(trainer: PairwiseTrainer, *arguments: Any) -> None:
        real(trainer, *arguments)
        networks.append(trainer.network)

    monkeypatch.setattr(image_loop, "train_on_images", keeping)
    for fine_tuning in (FineTuning(warm_up=5), FineTuning(warm_up=0, unit_input=False)):
        networks.clear()
        hasher = ImageHasher(uhga(), "tiny", train_backbone=fine_tuning).fit(list(pixels))
        small = torch.from_numpy(np.stack([decode(image, 16) for image in pixels]))
        with torch.no_grad():
            expected = networks[0](small).numpy()
        values = hasher.model.encoder.values(hasher.features(list(pixels)).values)
        np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)
        again = hasher.fit(list(pixels)).model
        assert again.to_bytes() == ImageHasher(uhga(), "tiny", fine_tuning).fit(list(pixels)).model.to_bytes()


def test_a_training_goes_on_from_its_checkpoints(tmp_path: Path, pixels, monkeypatch) -> None:
    fine_tuning = FineTuning(warm_up=3, checkpoint_every=2)
    whole = ImageHasher(uhga(), "tiny", fine_tuning).fit(list(pixels)).model.to_bytes()
    real = PairwiseTrainer.step
    steps = []

    def dying(self: PairwiseTrainer, inputs: torch.Tensor, similarity: torch.Tensor) -> torch.Tensor:
        if inputs.ndim == 4 and self.step_count == 3:  # of the whole network, on images
            raise KeyboardInterrupt
        return real(self, inputs, similarity)

    def counting(self: PairwiseTrainer, inputs: torch.Tensor, similarity: torch.Tensor) -> torch.Tensor:
        if inputs.ndim == 4:
            steps.append(self.step_count)
        return real(self, inputs, similarity)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt, match="run the same command again"):
        patch.setattr(PairwiseTrainer, "step", dying)
        ImageHasher(uhga(), "tiny", fine_tuning, tmp_path / "run").fit(list(pixels))
    monkeypatch.setattr(PairwiseTrainer, "step", counting)
    assert ImageHasher(uhga(), "tiny", fine_tuning, tmp_path / "run").fit(list(pixels)).model.to_bytes() == whole
    assert steps == [2, 3]
    for other, name in (({"n_steps": 9}, r"n_steps \(4 then, 9 now\)"), ({"random_state": 5}, "random_state")):
        with pytest.raises(GannetError, match=name):
            ImageHasher(uhga(**other), "tiny", fine_tuning, tmp_path / "run").fit(list(pixels))
    with pytest.raises(GannetError, match="another set of images"):
        ImageHasher(uhga(), "tiny", fine_tuning, tmp_path / "run").fit(list(pixels[:30]))


def test_methods_and_sources_that_cannot_train_a_network(tmp_path: Path, pixels) -> None:
    with pytest.raises(GannetError, match=r"uhga-views does not train the image network: .*such as uhga"):
        ImageHasher(UHGAViews(), train_backbone=True)
    with pytest.raises(GannetError, match=r"itq does not train the image network: .*such as uhga"):
        ImageHasher(ITQ(8), "tiny", train_backbone=True)
    with pytest.raises(GannetError, match="checkpoints are kept only if the image network is trained"):
        ImageHasher(uhga(), "tiny", checkpoints=tmp_path)
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((50, 6)))
    with pytest.raises(GannetError, match="give images"):
        ImageHasher(uhga(), "tiny", train_backbone=True).fit(tmp_path / "v.npy")
    with pytest.raises(GannetError, match="too few to learn 8 bits"):
        ImageHasher(uhga(), "tiny", train_backbone=True).fit(list(pixels[:5]))
