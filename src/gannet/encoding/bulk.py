"""Encoding of sources into a folder of codes, which a later run can complete."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from gannet.code_folder import CodeFolder, Header
from gannet.data import ImageSource, MatrixSource, ReadOptions, Skipped
from gannet.encoding.processes import encode_here, encode_in_processes
from gannet.encoding.ray_cluster import encode_on_ray
from gannet.encoding.tasks import Items
from gannet.errors import GannetError
from gannet.image_hasher import ImageHasher
from gannet.model import Model
from gannet.support.libraries import load
from gannet.support.progress import progress


@dataclass(frozen=True)
class Encoding:
    """Summary of a run of `encode_folder`.

    Attributes
    ----------
    n_items : int
        Number of items in the complete folder.
    n_encoded : int
        Number of those that this run encoded; the others were there.
    n_shards : int
        Number of files of codes.
    skipped : sequence of Skipped
        All items that could not be read, in this run or before, with the reason.
    """

    n_items: int
    n_encoded: int
    n_shards: int
    skipped: Sequence[Skipped]


def encode_folder(
    sources: Sequence[ImageSource | MatrixSource],
    model: Model,
    folder: str | os.PathLike[str],
    *,
    n_workers: int = 1,
    ray: str | None = None,
    options: ReadOptions = ReadOptions(),  # noqa: B008
    items_per_shard: int | None = None,
) -> Encoding:
    """Encode sources into a folder of codes, or complete a folder that an earlier run began.

    The folder is a `gannet.code_folder.CodeFolder`. Each of its files appears when it is complete, and a run encodes
    only the files that are missing, so that a run that was killed is completed by running it again. Images are not
    compared with those that were encoded before. Features are not kept in the cache of the image network.

    Parameters
    ----------
    sources : sequence of ImageSource or MatrixSource
        Opened sources of images, whose items other processes can read by their paths, or matrices. An item that is in
        several sources is encoded once.
    model : Model
        The model; if it has an image network, that must be stored in the model or be installed.
    folder : path
        The folder, which is made if it does not exist.
    n_workers : int, default=1
        Number of processes. They share the cores of the machine.
    ray : str, default=None
        Address of a Ray cluster that encodes images in place of this machine, such as ``auto``; ``local`` starts one on
        this machine. Each of its machines has Gannet and reads the images by the same paths.
    options : ReadOptions, default=ReadOptions()
        The options that the sources were opened with.
    items_per_shard : int, default=None
        Largest number of items per file; by default there are about a thousand files of 500 to 50,000 items.

    Returns
    -------
    Encoding
        The numbers of items, and those that could not be read.

    Raises
    ------
    GannetError
        If the model does not encode such sources, if no item could be read, or if the folder holds the codes of another
        model or another source.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from gannet import Model
    >>> from gannet.code_folder import CodeFolder
    >>> from gannet.data import MatrixSource
    >>> from gannet.encoders import Linear
    >>> from gannet.encoding import encode_folder
    >>> model = Model(Linear(np.zeros(2, np.float32), np.eye(2, dtype=np.float32), np.zeros(2, np.float32)), "lsh")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = encode_folder([MatrixSource("points", np.array([[1.0, -1.0], [2.0, 3.0]]))], model, folder)
    ...     [block.codes.tolist() for block in CodeFolder.open(folder).blocks()]
    [[[128], [192]]]
    """
    load("pyarrow.parquet", "parquet", "writing folders of codes")
    hasher = ImageHasher(model=model)
    for source in sources:
        hasher.check_source(source)
        if isinstance(source, MatrixSource):
            if ray is not None:
                raise GannetError(f"{source.name} is a matrix, which needs no cluster: leave --ray out")
            next(model.encoder.chunks(source.features), None)  # the width is checked before a folder is made
    items = Items(sources, options.truncated)
    size = items_per_shard or items.shard_size()
    chosen = {name: value for name, value in asdict(options).items() if name in options.given()}
    wanted = Header(model.id, model.n_bits, items.sources(), chosen, size, len(items.ranges(size)))
    target = CodeFolder.begin(folder, model, wanted)
    size, missing = target.header.items_per_shard, target.missing()
    tasks = items.tasks(size, missing)
    if ray is not None:
        made = encode_on_ray(model, tasks, ray)
    else:
        made = encode_here(model, tasks) if n_workers == 1 else encode_in_processes(model, tasks, n_workers)
    ranges = items.ranges(size)
    n_encoded, n_wanted = 0, sum(ranges[shard].stop - ranges[shard].start for shard in missing)
    with contextlib.closing(made), progress(n_wanted, "encoding", "item") as bar:
        for shard in made:
            target.write(shard.number, shard.data)
            n_encoded += shard.n_items
            bar.update(shard.n_items + shard.n_skipped)
    listed = [item for source in sources if isinstance(source, ImageSource) for item in source.skipped]
    skipped = list(dict.fromkeys([*listed, *target.skipped()]))
    if not len(target):
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
        raise GannetError(f"nothing could be read from {', '.join(source.name for source in sources)}: {reasons}")
    return Encoding(len(target), n_encoded, target.header.n_shards, skipped)
