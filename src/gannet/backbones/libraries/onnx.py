"""Networks in ONNX files: ``onnx:FILE``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gannet.backbones.base import Weights
from gannet.backbones.extractor import Engine
from gannet.backbones.library import NetworkLibrary
from gannet.backbones.network import Input, Network
from gannet.errors import GannetError
from gannet.support import threads
from gannet.support.libraries import load

_SETTINGS = "preprocessor_config.json"
_DEFAULT_SIZE = 224
_BATCH = 8
_DTYPES = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(uint8)": "uint8"}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ONNX(NetworkLibrary):
    """Networks in ONNX files, with one input of images and an output of one vector per image.

    The input is ``(n, 3, height, width)`` or ``(n, height, width, 3)``, float or uint8; the features are the first
    output of shape ``(n, d)``. A file ``preprocessor_config.json`` beside the network, or in the folder above, as
    transformers writes it, determines the preprocessing. Without one, the shorter side is resized to that of the input
    (224 pixels, if the file leaves it open), the center is cut out, and float inputs are normalized with ImageNet's
    mean and standard deviation.
    """

    name = "onnx"
    form = "FILE"
    example = "onnx:network.onnx"
    reference = "Open Neural Network Exchange: https://onnx.ai"
    local = "onnx:FILE"
    extra = "onnx"
    requires = ("onnx", "onnxruntime")

    def load(self, name: str) -> Network:  # noqa: D102
        path = Path(name).expanduser().absolute()
        if not path.is_file():
            raise GannetError(f"there is no file {path}")
        content, digest, license = _read(path)
        beside = [folder / _SETTINGS for folder in (path.parent, path.parent.parent)]
        settings = next((file.read_text(encoding="utf-8") for file in beside if file.is_file()), None)
        return _network(str(path), content, digest, license, {} if settings is None else {_SETTINGS: settings})

    def restore(self, name: str, files: Mapping[str, str], weights: Weights) -> Network:  # noqa: D102
        return _network(name, weights["file"].tobytes(), str(weights["digest"].tobytes().hex()), None, files)


def _read(path: Path) -> tuple[bytes, str, str | None]:
    """Return the file, with weights that lie in files beside it, the SHA-256 of all of them, and the license."""
    onnx = load("onnx", "onnx", "reading an ONNX file")
    content = path.read_bytes()
    total = hashlib.sha256(content)
    try:
        model = onnx.load_from_string(content)
    except Exception:  # protobuf's error class depends on its implementation
        raise GannetError(f"{path} is not an ONNX file") from None
    if not model.graph.node:
        raise GannetError(f"{path} is not an ONNX file")
    license = next((entry.value for entry in model.metadata_props if entry.key == "license"), None)
    entries = (entry for tensor in model.graph.initializer for entry in tensor.external_data)
    beside = sorted({entry.value for entry in entries if entry.key == "location"})
    if not beside:
        return content, total.hexdigest(), license
    for location in beside:
        with (path.parent / location).open("rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                total.update(block)
    onnx.load_external_data_for_model(model, str(path.parent))
    return model.SerializeToString(), total.hexdigest(), license


@dataclass(frozen=True)
class _Preprocessing:
    """Resize, center crop and normalization of an image for a network's input."""

    height: int
    width: int
    shortest: int | None
    resample: int
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    is_last: bool
    dtype: str

    @classmethod
    def of(cls, side: tuple[int | None, int | None], is_last: bool, dtype: str, text: str | None) -> Self:
        """Return the preprocessing for an input of a height and width, None if open, with transformers' settings."""
        given: dict[str, Any] = json.loads(text) if text is not None else {}
        crop = _sides(given.get("crop_size")) if given.get("do_center_crop") else None
        size: Any = given.get("size")
        resized = _sides(size)
        default = crop or resized or (_DEFAULT_SIZE, _DEFAULT_SIZE)
        height, width = (fixed or usual for fixed, usual in zip(side, default, strict=True))
        shortest: int | None = min(height, width)
        if isinstance(size, Mapping) and "height" in size and crop is None:
            shortest = None  # both sides are resized
        elif resized is not None:
            shortest = min(resized)
        plain = dtype == "uint8" and text is None
        normalizes = given.get("do_normalize", True) and dtype != "uint8"
        return cls(
            height,
            width,
            shortest,
            int(given.get("resample", Image.Resampling.BICUBIC)),
            1.0
            if plain or dtype == "uint8" or not given.get("do_rescale", True)
            else given.get("rescale_factor", 1 / 255),
            tuple(given.get("image_mean", _MEAN)) if normalizes else (0.0, 0.0, 0.0),
            tuple(given.get("image_std", _STD)) if normalizes else (1.0, 1.0, 1.0),
            is_last,
            dtype,
        )

    def __call__(self, image: Image.Image) -> Input:
        """Return the network's input."""
        image = self._cut(image)
        pixels = np.asarray(image)
        if self.dtype != "uint8":
            mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
            pixels = ((pixels * np.float32(self.scale) - mean) / std).astype(self.dtype)
        return np.ascontiguousarray(pixels if self.is_last else pixels.transpose(2, 0, 1))

    def _cut(self, image: Image.Image) -> Image.Image:
        resample = Image.Resampling(self.resample)
        if self.shortest is None:
            return image.resize((self.width, self.height), resample)
        width, height = (self.shortest * length // min(image.size) for length in image.size)
        left, top = (width - self.width) // 2, (height - self.height) // 2
        return image.resize((width, height), resample).crop((left, top, left + self.width, top + self.height))


def _sides(size: Any) -> tuple[int, int] | None:
    """Return height and width in a setting of transformers: a number, or a mapping of sides."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping):
        shortest = size.get("shortest_edge")
        return int(size.get("height", shortest)), int(size.get("width", shortest))
    return None


@dataclass(frozen=True, eq=False)
class _ONNXNetwork(Network):
    """A network in an ONNX file, ``content``, whose batches have ``batch`` images."""

    content: bytes = b""
    file_digest: str = ""
    batch: int = _BATCH
    output: int = 0

    @cached_property
    def digest(self) -> str:
        return self.file_digest

    @cached_property
    def weights(self) -> Weights:
        digest = np.frombuffer(bytes.fromhex(self.file_digest), np.uint8)
        return {"file": np.frombuffer(self.content, np.uint8), "digest": digest}

    def reference(self) -> Engine:
        return _RuntimeEngine(self.content, self.batch, self.output)

    def openvino(self, example: Input) -> Engine:
        from gannet.backbones._openvino_engine import OpenVINOEngine, import_openvino

        shape = (self.batch, *example.shape)
        model = import_openvino().Core().read_model(self.content)
        model.reshape(list(shape))
        return OpenVINOEngine(model, shape, example.dtype, output=self.output)


class _RuntimeEngine:
    """ONNX Runtime on the CPU."""

    def __init__(self, content: bytes, batch: int, output: int) -> None:
        self._session = _session(content)
        self.batch_size = batch
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[output].name

    def run(self, batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Map batches, padded to one size, to features, in order."""
        for batch in batches:
            padded = np.zeros((self.batch_size, *batch.shape[1:]), batch.dtype)
            padded[: len(batch)] = batch
            (features,) = self._session.run([self._output], {self._input: padded})
            yield features[: len(batch)].astype(np.float32)


def _session(content: bytes) -> Any:
    runtime = load("onnxruntime", "onnx", "running an ONNX file")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if threads.is_limited():
        options.intra_op_num_threads = threads.cores()
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def _network(name: str, content: bytes, digest: str, license: str | None, files: Mapping[str, str]) -> Network:
    session = _session(content)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        names = ", ".join(each.name for each in inputs)
        raise GannetError(f"{name} has {len(inputs)} inputs ({names}): give a network whose only input is the images")
    shape, dtype = inputs[0].shape, _DTYPES.get(inputs[0].type)
    is_last = len(shape) == 4 and shape[3] == 3 and shape[1] != 3
    channels = shape[3 if is_last else 1] if len(shape) == 4 else None
    if len(shape) != 4 or dtype is None or (isinstance(channels, int) and channels != 3):
        raise GannetError(
            f"{name} has an input {inputs[0].name!r} of type {inputs[0].type} and shape {shape}: give a network whose "
            "input is images, float or uint8, of shape (n, 3, height, width) or (n, height, width, 3)"
        )
    vectors = [position for position, each in enumerate(outputs) if len(each.shape) == 2]
    if not vectors:
        shapes = ", ".join(f"{each.name} {each.shape}" for each in outputs)
        raise GannetError(f"{name} has no output of shape (n, d), only {shapes}: give a network that ends in vectors")
    sides = [side if isinstance(side, int) else None for side in (shape[1:3] if is_last else shape[2:])]
    preprocess = _Preprocessing.of((sides[0], sides[1]), is_last, dtype, files.get(_SETTINGS))
    return _ONNXNetwork(
        f"onnx:{name}",
        max(preprocess.height, preprocess.width),
        preprocess,
        json.dumps(asdict(preprocess), sort_keys=True),
        None,
        license,
        files,
        content,
        digest,
        shape[0] if isinstance(shape[0], int) else _BATCH,
        vectors[0],
    )
