"""The OpenVINO runtime, several times faster than eager torch on a CPU.

A network is traced once. The converted network is kept in the cache directory; later processes load it in a fraction of
a second without importing torch.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from gannet.backbones.base import say_preparing
from gannet.errors import GannetError
from gannet.support import threads
from gannet.support.arrays import load_arrays, save_arrays
from gannet.support.cache import cache_dir
from gannet.support.libraries import load
from gannet.support.progress import progress

if TYPE_CHECKING:
    from torch import nn

BATCH = 8
"""Every batch has this size, the last one padded, so that features do not depend on the other images of the batch."""


class OpenVINOEngine:
    """A model of OpenVINO compiled for this CPU, with ``precision`` "f32" or "bf16".

    ``shape`` is that of one batch of its input, whose first axis is the number of images. ``output`` is the position of
    the output that holds the features.
    """

    def __init__(
        self,
        model: Any,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike = np.uint8,
        precision: str = "f32",
        output: int = 0,
    ) -> None:
        core = import_openvino().Core()
        if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise GannetError("this CPU has no bf16 arithmetic; use precision='f32'")
        self.batch_size = shape[0]
        self._shape, self._dtype, self._output = shape, dtype, output
        config = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
        if threads.is_limited():
            config["INFERENCE_NUM_THREADS"] = str(threads.cores())
        self._compiled = core.compile_model(model, "CPU", config)

    @classmethod
    def of_torch(
        cls,
        network: Callable[[], nn.Module],
        key: str,
        name: str,
        image_shape: tuple[int, ...],
        dtype: npt.DTypeLike = np.uint8,
        precision: str = "f32",
    ) -> OpenVINOEngine:
        """Return the engine of a torch network, from images of a shape ``(n, *image_shape)`` to ``(n, d)``.

        ``network`` makes the network; it is called only if the cache has no file named ``key``.
        """
        openvino = import_openvino()
        shape = (BATCH, *image_shape)
        version = openvino.get_version().split("-")[0]
        path = cache_dir() / "openvino" / f"{key}-{version}.safetensors"
        arrays = load_arrays(path)
        if arrays is None:
            say_preparing(name)
            arrays = convert(network(), np.zeros(shape, dtype))
            save_arrays(path, arrays)
        model = openvino.Core().read_model(arrays["xml"].tobytes(), openvino.Tensor(arrays["bin"]))
        return cls(model, shape, dtype, precision)

    def run(self, batches: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        """Map each batch to its features, in order; as many batches run at once as the CPU can use."""
        n_requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")) + 1
        idle = [self._compiled.create_infer_request() for _ in range(n_requests)]
        running: deque[tuple[Any, int]] = deque()
        for batch in batches:
            request = idle.pop()
            padded = np.zeros(self._shape, self._dtype)
            padded[: len(batch)] = batch
            request.start_async({0: padded})
            running.append((request, len(batch)))
            if not idle:
                yield self._finish(running, idle)
        while running:
            yield self._finish(running, idle)

    def _finish(self, running: deque[tuple[Any, int]], idle: list[Any]) -> NDArray[np.float32]:
        """Wait for the oldest request, return its features and make the request idle again."""
        request, n = running.popleft()
        request.wait()
        features = np.array(request.get_output_tensor(self._output).data[:n])
        idle.append(request)
        return features


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry.

    The package ``openvino_telemetry`` sends usage events over the network and leaves an identifier in the home folder.
    OpenVINO runs without it if it can't be imported.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return load("openvino", "images", "encoding images")


def convert(network: nn.Module, example: NDArray[Any]) -> dict[str, NDArray[np.uint8]]:
    """Trace a torch network on an example of a batch and return OpenVINO's two files as bytes."""
    openvino = import_openvino()
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    with tempfile.TemporaryDirectory() as folder, progress(3, "preparing", "step") as bar:
        with warnings.catch_warnings(action="ignore"):  # torch warns of tracing
            decoder = TorchScriptPythonDecoder(
                network, example_input=torch.from_numpy(example)
            )  # must outlive the conversion
        bar.update(1)
        front_end = FrontEndManager().load_by_framework("pytorch")
        model = front_end.convert(front_end.load(decoder))
        model.reshape(list(example.shape))
        bar.update(1)
        path = Path(folder) / "network.xml"
        openvino.serialize(model, path)
        bar.update(1)
        return {
            "xml": np.frombuffer(path.read_bytes(), np.uint8),
            "bin": np.frombuffer(path.with_suffix(".bin").read_bytes(), np.uint8),
        }
