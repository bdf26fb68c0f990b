"""Measure the images per second that an image network encodes on this machine's CPU, with several runtimes.

    python benchmarks/encoding.py [--backbone efficientnet-lite0] [--size 128] [--images 256] [--seconds 5]

The script prints the rate of each runtime and its largest difference from eager torch, relative to the largest feature.
The images are random pixels in memory, so that only the network is timed. ONNX Runtime is measured if ``onnx``,
``onnxscript`` and ``onnxruntime`` are installed, bf16 if the CPU supports it.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gannet.backbones import all_backbones, get_backbone
from gannet.backbones.base import Backbone
from gannet.backbones.extractor import FeatureExtractor, Images, TorchEngine, Vectors, normalized
from gannet.errors import GannetError

Run = Callable[[Images], Vectors]


def eager_torch(backbone: Backbone) -> Run:
    engine = TorchEngine(normalized(backbone, backbone.module()), "cpu", "f32")
    return lambda images: np.concatenate(list(engine.run(batches(images, engine.batch_size))))


def onnx_runtime(backbone: Backbone, batch: int = 8) -> Run:
    import contextlib

    import onnxruntime
    import torch

    network = normalized(backbone, backbone.module())
    example = torch.zeros((batch, backbone.size, backbone.size, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        with contextlib.redirect_stdout(io.StringIO()):  # the exporter reports its steps
            torch.onnx.export(network, (example,), path, input_names=["images"], external_data=False, verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda images: np.concatenate([session.run(None, {"images": block})[0] for block in batches(images, batch)])


def batches(images: Images, n: int) -> Iterator[NDArray[np.uint8]]:
    return (images[start : start + n] for start in range(0, len(images), n))


def measure(run: Run, images: Images, seconds: float) -> tuple[float, Vectors]:
    """Return the images per second of the fastest pass within the time, and the features."""
    features = run(images)  # warm-up
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end or np.isinf(best):
        start = time.perf_counter()
        features = run(images)
        best = min(best, time.perf_counter() - start)
    return len(images) / best, features


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="efficientnet-lite0", choices=all_backbones())
    parser.add_argument("--size", type=int, help="side of the images in pixels; by default the backbone's own")
    parser.add_argument("--images", type=int, default=256, help="number of images, a multiple of 8")
    parser.add_argument("--seconds", type=float, default=5.0, help="minimum time per runtime")
    options = parser.parse_args()

    backbone = get_backbone(options.backbone, options.size)
    shape = (options.images, backbone.size, backbone.size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    runtimes: dict[str, Callable[[], Run]] = {
        "eager torch": lambda: eager_torch(backbone),
        "ONNX Runtime": lambda: onnx_runtime(backbone),
        "OpenVINO f32 (default)": lambda: FeatureExtractor(backbone, device="cpu"),
        "OpenVINO bf16": lambda: FeatureExtractor(backbone, device="cpu", precision="bf16"),
    }
    if any(importlib.util.find_spec(name) is None for name in ("onnx", "onnxscript", "onnxruntime")):
        del runtimes["ONNX Runtime"]

    print(f"{backbone.name}, {backbone.size} px, {options.images} images")
    print(f"{'runtime':24}{'images/s':>10}{'max diff':>12}")
    reference = None
    for name, load in runtimes.items():
        try:
            rate, features = measure(load(), images, options.seconds)
        except GannetError as error:
            print(f"{name:24}  {error}")
            continue
        reference = features if reference is None else reference
        difference = np.abs(features - reference).max() / np.abs(reference).max()
        print(f"{name:24}{rate:10.0f}{difference:12.1e}")


if __name__ == "__main__":
    main()
