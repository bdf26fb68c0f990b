"""Encoding of one task, in whichever process it runs."""

from __future__ import annotations

from typing import NamedTuple

from gannet.code_folder import CodeBlock, shard_bytes
from gannet.data import ImageSource, MatrixSource, RawImage, read_item
from gannet.data.images import PartialImage
from gannet.encoding.tasks import Task
from gannet.feature_reader import FeatureReader
from gannet.model import Model
from gannet.support.progress import hidden_progress


class Shard(NamedTuple):
    """A file of codes, ready to be written: its number, its content, and how many items it holds and lacks."""

    number: int
    data: bytes
    n_items: int
    n_skipped: int


class ShardEncoder:
    """Encodes tasks with a model; the image network stays ready between tasks."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._reader = FeatureReader.for_model(model, cached=False)

    def encode(self, task: Task) -> Shard:
        """Return the file of codes of a task."""
        source = _Paths(task) if task.features is None else MatrixSource("matrix", task.features, task.paths)
        with hidden_progress():
            found = self._reader.read(source, self._model.takes)
        codes = self._model.encoder.encode(found.values)
        if isinstance(source, MatrixSource):
            ids, containers = task.ids, task.containers
        else:
            row_of = {path: row for row, path in enumerate(task.paths)}
            rows = [row_of[path] for path in found.paths]
            ids, containers = task.ids[rows], [task.containers[row] for row in rows]
        skipped = [*task.skipped, *found.skipped]
        block = CodeBlock(ids, codes, found.paths, found.digests, containers, skipped)
        data = shard_bytes(block, task.shard, self._model.id, self._model.n_bits)
        return Shard(task.shard, data, len(ids), len(skipped))


class _Paths(ImageSource):
    """The images of a task, which are read by their paths."""

    def __init__(self, task: Task) -> None:
        super().__init__("", task.paths, "")
        self._truncated = task.truncated

    def read(self, index: int) -> RawImage:
        raw = read_item(self.paths[index])
        return PartialImage(raw) if self._truncated and isinstance(raw, bytes) else raw
