import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from gannet.backbones import extractor as runtime
from gannet.backbones import get_backbone
from gannet.backbones.extractor import FeatureExtractor, TorchEngine, normalized
from gannet.errors import GannetError

openvino = pytest.importorskip("openvino")


@pytest.fixture
def plain_torch(monkeypatch):
    """A machine without OpenVINO."""
    find = runtime.importlib.util.find_spec
    monkeypatch.setattr(
        runtime.importlib.util,
        "find_spec",
        lambda name, *rest: None if name == "openvino" else find(name, *rest),
    )
    runtime._warn_slow.cache_clear()


@pytest.mark.parametrize("n", [1, 7, 8, 9, 21])
def test_openvino_equals_eager_torch(n, tiny, tiny_weights, images, eager):
    extractor = FeatureExtractor(tiny, tiny_weights, device="cpu")
    features = extractor(images[:n])
    assert features.shape == (n, 5)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, eager(tiny, tiny.module(tiny_weights), images[:n]), rtol=1e-4, atol=1e-5)


def test_without_openvino_torch_computes_the_same_and_says_so_once(
    plain_torch, tiny, tiny_weights, images, eager, caplog
):
    for _ in range(2):
        features = FeatureExtractor(tiny, tiny_weights, device="cpu")(images)
        np.testing.assert_allclose(features, eager(tiny, tiny.module(tiny_weights), images), rtol=1e-4, atol=1e-5)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_features_do_not_depend_on_the_company(tiny, tiny_weights, images):
    extractor = FeatureExtractor(tiny, tiny_weights, device="cpu")
    together = extractor(images)
    for i in (0, 7, 8, 20):
        np.testing.assert_array_equal(extractor(images[i : i + 1])[0], together[i])


def test_no_images_load_no_network(tiny, tiny_weights, images):
    extractor = FeatureExtractor(tiny, tiny_weights, device="cpu")
    assert extractor(images[:0]).shape == (0, 5)
    assert "engine" not in vars(extractor)


def test_stream_is_lazy_and_in_order(tiny, tiny_weights, images):
    extractor = FeatureExtractor(tiny, tiny_weights, device="cpu")
    expected = extractor(images)
    drawn = []

    def endless():
        while True:
            drawn.append(len(drawn) % len(images))
            yield images[drawn[-1]]

    blocks = extractor.stream(endless())
    rows = np.concatenate([next(blocks) for _ in range(4)])
    np.testing.assert_array_equal(rows, expected[np.arange(len(rows)) % len(images)])
    ahead = extractor.engine.batch_size * 40
    assert len(drawn) <= len(rows) + ahead
    blocks.close()
    np.testing.assert_array_equal(extractor(images), expected)


@pytest.mark.parametrize(
    "bad", [np.zeros((16, 15, 3), np.uint8), np.zeros((16, 16), np.uint8), np.zeros((16, 16, 3), np.float32)]
)
def test_images_of_another_shape_or_type_are_refused(bad, tiny, tiny_weights, images):
    extractor = FeatureExtractor(tiny, tiny_weights, device="cpu")
    with pytest.raises(GannetError, match="uint8 images"):
        list(extractor.stream([images[0], bad]))


def test_the_key_depends_on_the_network(tiny, tiny_weights):
    def key(backbone, weights, **settings):
        return FeatureExtractor(backbone, weights, **settings).cache_key

    usual = key(tiny, tiny_weights)
    assert usual == key(type(tiny)(), {name: value.copy() for name, value in tiny_weights.items()})
    other_weights = tiny_weights | {"0.bias": tiny_weights["0.bias"] + 1}
    others = {
        key(tiny, other_weights),
        key(type(tiny)(24), tiny_weights),
        key(tiny, tiny_weights, precision="bf16"),
    }
    assert len(others | {usual}) == 4


def test_a_damaged_converted_network_is_converted_again(cache, tiny, tiny_weights, images):
    expected = FeatureExtractor(tiny, tiny_weights, device="cpu")(images)
    (converted,) = (cache / "openvino").iterdir()
    intact = converted.read_bytes()
    flipped = intact[:-1] + bytes([intact[-1] ^ 1])
    for damaged in (b"", intact[:200], flipped):
        converted.write_bytes(damaged)
        np.testing.assert_array_equal(FeatureExtractor(tiny, tiny_weights, device="cpu")(images), expected)
        assert converted.stat().st_size == len(intact)


def test_bf16_where_the_cpu_lacks_it_is_refused(tiny, tiny_weights, images):
    capabilities = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    extractor = FeatureExtractor(tiny, tiny_weights, device="cpu", precision="bf16")
    if "BF16" in capabilities:
        reference = FeatureExtractor(tiny, tiny_weights, device="cpu")(images)
        np.testing.assert_allclose(extractor(images), reference, rtol=0.1, atol=0.05)
    else:
        with pytest.raises(GannetError, match="f32"):
            extractor(images)


def test_torch_bf16_stays_near(tiny, tiny_weights, images, eager):
    network = normalized(tiny, tiny.module(tiny_weights))
    (features,) = TorchEngine(network, "cpu", "bf16").run([images])
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, eager(tiny, tiny.module(tiny_weights), images), rtol=0.1, atol=0.05)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_refused(tiny, tiny_weights, images):
    with pytest.raises(GannetError, match="device='cpu'"):
        FeatureExtractor(tiny, tiny_weights, device="cuda")(images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_gpu_computes_the_same(tiny, tiny_weights, images, eager):
    features = FeatureExtractor(tiny, tiny_weights, device="cuda")(images)
    np.testing.assert_allclose(features, eager(tiny, tiny.module(tiny_weights), images), rtol=1e-3, atol=1e-4)


LATER_PROCESS = """
import sys
import numpy as np
from gannet.backbones import get_backbone
from gannet.backbones.extractor import FeatureExtractor
pictures, features = (np.load(path) for path in sys.argv[1:])
np.testing.assert_array_equal(FeatureExtractor(get_backbone(), device="cpu")(pictures), features)
assert "torch" not in sys.modules, "the cached network should be enough"
"""


def test_the_default_backbone_on_pictures(eager, tmp_path):
    backbone = get_backbone()
    ramp = np.linspace(0, 255, 128).astype(np.uint8)
    pictures = np.stack(
        [
            np.asarray(Image.effect_mandelbrot((128, 128), (-2, -1.5, 1, 1.5), 50).convert("RGB")),
            np.broadcast_to(ramp[:, None, None], (128, 128, 3)),
            np.full((128, 128, 3), (200, 30, 30), np.uint8),
        ]
    )
    features = FeatureExtractor(backbone, device="cpu")(pictures)
    assert features.shape == (3, 1280)
    assert (features.std(0) > 0).mean() > 0.3
    np.testing.assert_allclose(features, eager(backbone, backbone.module(), pictures), rtol=1e-3, atol=1e-4)

    paths = [tmp_path / "pictures.npy", tmp_path / "features.npy"]
    np.save(paths[0], pictures)
    np.save(paths[1], features)
    subprocess.run([sys.executable, "-c", LATER_PROCESS, *map(str, paths)], check=True)
