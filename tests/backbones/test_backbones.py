import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from gannet.backbones import alexnet as alexnet_file
from gannet.backbones import all_backbones, get_backbone
from gannet.errors import GannetError, MissingExtraError
from gannet.support.arrays import array_digest as weights_digest


def is_one_line(error):
    return "\n" not in str(error.value)


@pytest.mark.parametrize("name", all_backbones())
def test_every_backbone_describes_itself(name):
    backbone = get_backbone(name)
    assert backbone.name == name
    assert backbone.reference
    assert backbone.n_features > 0
    assert backbone.size == backbone.default_size
    assert len(backbone.mean) == len(backbone.std) == 3
    assert backbone.unavailable() is None


@pytest.mark.parametrize("name", all_backbones())
@pytest.mark.parametrize("size", [0, 31, 5000])
def test_a_size_the_network_cannot_take_is_refused(name, size):
    with pytest.raises(GannetError, match="size") as error:
        get_backbone(name, size)
    assert is_one_line(error)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(GannetError, match="did you mean 'efficientnet-lite0'"):
        get_backbone("efficientnet_lite0")


def test_listing_imports_no_heavy_library():
    code = (
        "import sys; from gannet.backbones import all_backbones;"
        "[b.unavailable() for b in all_backbones().values()];"
        "assert not {'torch', 'openvino'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_library_is_named_with_its_remedy(monkeypatch):
    backbone = get_backbone("efficientnet-lite0")
    monkeypatch.setattr(type(backbone), "requires", ("torch", "no_such_library"))
    for use in (backbone.weights, backbone.module):
        with pytest.raises(MissingExtraError, match=r"no_such_library.*gannet-hash\[images\]") as error:
            use()
        assert is_one_line(error)


def test_the_digest_depends_on_the_weights(tiny_weights):
    digest = weights_digest(tiny_weights)
    assert digest == weights_digest(dict(reversed(tiny_weights.items())))
    assert digest == weights_digest({name: np.asfortranarray(value) for name, value in tiny_weights.items()})
    changed = {name: value.copy() for name, value in tiny_weights.items()}
    changed["0.bias"][2] += 1e-6
    assert digest != weights_digest(changed)
    renamed = {f"x{name}": value for name, value in tiny_weights.items()}
    assert digest != weights_digest(renamed)
    reshaped = {name: value.reshape(-1) for name, value in tiny_weights.items()}
    assert digest != weights_digest(reshaped)


def write_pth(path, weights):
    torch.save({name: torch.tensor(value) for name, value in weights.items()}, path)


@pytest.mark.parametrize(("suffix", "write"), [(".pth", write_pth), (".safetensors", lambda p, w: save_file(w, p))])
def test_weight_files_give_the_same_weights(tmp_path, tiny, tiny_weights, suffix, write):
    path = tmp_path / f"weights{suffix}"
    write(path, tiny_weights | {"classifier.weight": np.zeros((3, 3), np.float32)})
    weights = tiny.weights(path)
    assert weights_digest(weights) == weights_digest(tiny_weights)
    for name, value in tiny.module(path).state_dict().items():
        np.testing.assert_array_equal(value.numpy(), tiny_weights[name])


def test_weights_that_are_not_in_c_order_survive_the_cache(tmp_path, tiny, tiny_weights):
    path = tmp_path / "weights.pth"
    channels_last = torch.tensor(tiny_weights["0.weight"]).to(memory_format=torch.channels_last)
    torch.save({"0.weight": channels_last, "0.bias": torch.tensor(tiny_weights["0.bias"])}, path)
    for _ in range(2):
        np.testing.assert_array_equal(tiny.weights(path)["0.weight"], tiny_weights["0.weight"])


def test_the_second_reading_needs_no_torch(tmp_path, tiny, tiny_weights, monkeypatch):
    path = tmp_path / "weights.pth"
    write_pth(path, tiny_weights)
    tiny.weights(path)
    monkeypatch.setattr(torch, "load", None)
    assert weights_digest(tiny.weights(path)) == weights_digest(tiny_weights)


def test_a_damaged_copy_in_the_cache_is_made_again(tmp_path, cache, tiny, tiny_weights):
    path = tmp_path / "weights.pth"
    write_pth(path, tiny_weights)
    tiny.weights(path)
    (copy,) = (cache / "weights").iterdir()
    intact = copy.read_bytes()
    flipped = intact[:-1] + bytes([intact[-1] ^ 1])
    for damaged in (b"", b"rubbish", intact[:50], flipped):
        copy.write_bytes(damaged)
        assert weights_digest(tiny.weights(path)) == weights_digest(tiny_weights)
        assert copy.read_bytes() == intact


def test_a_cache_that_cannot_be_written_does_not_matter(tmp_path, monkeypatch, tiny, tiny_weights):
    path = tmp_path / "weights.pth"
    write_pth(path, tiny_weights)
    monkeypatch.setenv("GANNET_CACHE", str(path))  # a file where the folder should be
    assert weights_digest(tiny.weights(path)) == weights_digest(tiny_weights)


class Malicious:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code from the file was run')",))


def test_no_code_in_a_weight_file_is_run(tmp_path, tiny):
    path = tmp_path / "weights.pth"
    torch.save({"0.weight": Malicious()}, path)
    with pytest.raises(GannetError, match="can be read safely"):
        tiny.weights(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x80\x04N."])
def test_rubbish_is_refused_in_one_line(tmp_path, tiny, suffix, content):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(GannetError, match="not a weight file") as error:
        tiny.weights(path)
    assert is_one_line(error)


def test_an_absent_file_is_refused_in_one_line(tmp_path, tiny):
    with pytest.raises(GannetError, match="No such file") as error:
        tiny.weights(tmp_path / "absent.pth")
    assert is_one_line(error)


def test_another_networks_file_is_refused_in_one_line(tmp_path, tiny, tiny_weights):
    path = tmp_path / "weights.pth"
    write_pth(path, {"0.weight": tiny_weights["0.weight"]})
    with pytest.raises(GannetError, match=r"holds no '0\.bias'") as error:
        tiny.weights(path)
    assert is_one_line(error)
    with pytest.raises(GannetError, match=r"shape \(4,\)") as error:
        tiny.module(tiny_weights | {"0.bias": np.zeros(4, np.float32)})
    assert is_one_line(error)


@pytest.fixture(scope="module")
def alexnet_weights():
    """Random weights of the published file's names and shapes, the last layer included."""
    shapes = {
        "features.0": (64, 3, 11, 11), "features.3": (192, 64, 5, 5), "features.6": (384, 192, 3, 3),
        "features.8": (256, 384, 3, 3), "features.10": (256, 256, 3, 3),
        "classifier.1": (4096, 9216), "classifier.4": (4096, 4096), "classifier.6": (10, 4096),
    }  # fmt: skip
    random = np.random.default_rng(0)
    weights = {}
    for name, shape in shapes.items():
        scale = np.sqrt(2 / np.prod(shape[1:]))
        weights[f"{name}.weight"] = random.standard_normal(shape, dtype=np.float32) * np.float32(scale)
        weights[f"{name}.bias"] = random.standard_normal(shape[:1], dtype=np.float32)
    return weights


def test_alexnet_from_the_file_that_the_environment_names(tmp_path, monkeypatch, alexnet_weights):
    import torch.nn.functional as f

    path = tmp_path / "alexnet.pth"
    write_pth(path, alexnet_weights)
    monkeypatch.setenv(alexnet_file.WEIGHTS_VARIABLE, str(path))
    module = get_backbone("alexnet").module()
    w = {name: torch.tensor(value) for name, value in alexnet_weights.items()}
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))

    def layer(name):
        return w[f"{name}.weight"], w[f"{name}.bias"]

    # The network written out a second time, layer by layer.
    with torch.inference_mode():
        x = f.max_pool2d(f.conv2d(images, *layer("features.0"), stride=4, padding=2).relu(), 3, 2)
        x = f.max_pool2d(f.conv2d(x, *layer("features.3"), padding=2).relu(), 3, 2)
        x = f.conv2d(x, *layer("features.6"), padding=1).relu()
        x = f.conv2d(x, *layer("features.8"), padding=1).relu()
        x = f.max_pool2d(f.conv2d(x, *layer("features.10"), padding=1).relu(), 3, 2)
        x = f.linear(x.flatten(1), *layer("classifier.1")).relu()
        expected = f.linear(x, *layer("classifier.4")).relu()
        features = module(images)
    assert features.shape == (2, 4096)
    assert (features >= 0).all()
    assert features.std() > 0
    torch.testing.assert_close(features, expected)


def test_alexnet_without_a_network_says_how_to_give_the_file(monkeypatch):
    import pooch

    def refuse(*args, **kwargs):
        raise OSError("no route\nto host")

    monkeypatch.delenv(alexnet_file.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "retrieve", refuse)
    with pytest.raises(GannetError, match=alexnet_file.WEIGHTS_VARIABLE) as error:
        get_backbone("alexnet").weights()
    assert is_one_line(error)


def test_alexnet_downloads_only_the_published_file(monkeypatch, tmp_path, cache):
    import pooch

    asked = {}

    def retrieve(url, known_hash, fname, path, **kwargs):
        asked.update(url=url, hash=known_hash, path=path)
        return str(tmp_path / fname)

    monkeypatch.delenv(alexnet_file.WEIGHTS_VARIABLE, raising=False)
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert get_backbone("alexnet").weights_file().name == "alexnet-owt-7be5be79.pth"
    assert asked["hash"].startswith("sha256:7be5be79")
    assert asked["path"] == cache / "downloads"
