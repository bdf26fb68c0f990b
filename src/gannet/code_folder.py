"""Folders of codes: Parquet files with the codes, ids, paths and digests of items, and the model that made them."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from gannet.codes import Codes, Ids, n_bytes
from gannet.data import Skipped
from gannet.data.base import is_file, reading
from gannet.errors import GannetError
from gannet.model import Model
from gannet.support.atomic import write_atomically
from gannet.support.libraries import load

HEADER, MODEL = "gannet-codes.json", "model.safetensors"
FORMAT, VERSION = "gannet-codes", 1
_METADATA = b"gannet"
_COLUMNS = ("id", "code", "path", "digest", "container")
_DIGEST_BYTES = 16
_AGAIN = "run the same `gannet encode` again"


class CodeBlock(NamedTuple):
    """Items of one file of a `CodeFolder`, in the order of their ids.

    Attributes
    ----------
    ids : ndarray of shape (n,), dtype int64
        Ids, ascending.
    codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes.
    paths : sequence of str
        Path of each item.
    digests : sequence of bytes
        Digest of each image's content; empty for rows of a matrix.
    containers : sequence of (str or None)
        The file that has to exist for the item to exist: the item itself, or an archive or a matrix; None if unknown.
    skipped : sequence of Skipped
        Items that could not be read, with the reason.
    """

    ids: Ids
    codes: Codes
    paths: Sequence[str]
    digests: Sequence[bytes]
    containers: Sequence[str | None]
    skipped: Sequence[Skipped]


class FileSummary(NamedTuple):
    """Summary of one file of a `CodeFolder`, which is read without its items.

    Attributes
    ----------
    n_items : int
        Number of items.
    first, stop : int
        The first id, and the one after the last; both 0 for a file without items.
    skipped : sequence of Skipped
        Items that could not be read, with the reason.
    digest : str
        Digest of the items.
    modified : float
        When the file was written, in seconds since 1970.
    """

    n_items: int
    first: int
    stop: int
    skipped: Sequence[Skipped]
    digest: str
    modified: float


@dataclass(frozen=True)
class Header:
    """The file that describes a folder of codes.

    ``sources`` are the name, the number of items and a digest of each source, ``options`` are the choices with which
    they were read, and ``n_shards`` is the number of files of a complete folder, of ``items_per_shard`` items at most.
    """

    model_id: str
    n_bits: int
    sources: Sequence[Mapping[str, Any]]
    options: Mapping[str, Any]
    items_per_shard: int
    n_shards: int

    def to_bytes(self) -> bytes:
        """Return the content of the file ``gannet-codes.json``."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=1).encode()


class CodeFolder:
    """A folder of codes that `gannet encode` writes.

    The codes are in files ``codes-000000.parquet``, ..., each complete or absent, with the columns ``id`` (int64),
    ``code`` (the packed bytes), ``path`` (text), ``digest`` (16 bytes; null for rows of a matrix) and ``container``.
    The metadata of each file hold the id of the model and the length of the codes. The model itself is in
    ``model.safetensors``, and ``gannet-codes.json`` says what the folder was made from.

    Parameters
    ----------
    path : path
        The folder.
    header : Header
        The content of its file ``gannet-codes.json``.

    Examples
    --------
    Read all codes, one block of items at a time::

        folder = CodeFolder.open("photos-codes")
        for block in folder.blocks():
            print(block.ids, block.codes, block.paths, block.digests)
    """

    def __init__(self, path: str | os.PathLike[str], header: Header) -> None:
        self.path = Path(path)
        self.header = header

    @property
    def n_bits(self) -> int:
        """Length of the codes in bits."""
        return self.header.n_bits

    @property
    def model_id(self) -> str:
        """Id of the model that made the codes."""
        return self.header.model_id

    @property
    def identity(self) -> str:
        """Text that folders of the same sources, read with the same options, have in common."""
        return _text_digest([[source["name"] for source in self.header.sources], self.header.options])

    @property
    def state(self) -> str:
        """Text that differs if sources or items differ; read from the metadata of all files on each access."""
        return _text_digest([asdict(self.header), [file.digest for file in self.files()]])

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open a complete folder.

        Parameters
        ----------
        path : path
            The folder.

        Returns
        -------
        CodeFolder
            The opened folder.

        Raises
        ------
        GannetError
            If it is no such folder, comes from a newer version of Gannet, or is not complete.
        """
        folder = cls(path, _read_header(Path(path)))
        missing = folder.missing()
        if missing:
            n = folder.header.n_shards
            raise GannetError(f"{folder.path} is not complete, it holds {n - len(missing):,} of {n:,} files: {_AGAIN}")
        return folder

    @classmethod
    def begin(cls, path: str | os.PathLike[str], model: Model, header: Header) -> Self:
        """Make a folder without codes, or open one that was begun with the same model and sources.

        Parameters
        ----------
        path : path
            A folder that is empty, was begun before, or does not exist; its parent exists.
        model : Model
            The model.
        header : Header
            The content of the new file ``gannet-codes.json``. A folder that was begun keeps the size of its files.

        Returns
        -------
        CodeFolder
            The folder.

        Raises
        ------
        GannetError
            If the folder holds something else, or was begun with another model or another source.
        """
        folder = Path(path)
        if is_code_folder(folder):
            begun = _read_header(folder)
            _check_same(folder, begun, header)
        else:
            try:
                folder.mkdir(exist_ok=True)
                others = sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
            except OSError as error:
                raise GannetError(f"cannot write {folder}: {error.strerror}") from None
            if others:
                raise GannetError(f"{folder} holds other files, such as {others[0]}: name a new or an empty folder")
            begun = header
            write_atomically(folder / HEADER, header.to_bytes())
        if not is_file(str(folder / MODEL)):
            model.save(folder / MODEL)
        return cls(folder, begun)

    def missing(self) -> list[int]:
        """Return the numbers of the files that are not written yet.

        Returns
        -------
        list of int
            Numbers from 0, ascending.
        """
        with reading("cannot be listed", str(self.path)):
            names = {file.name for file in self.path.iterdir()}
        return [shard for shard in range(self.header.n_shards) if _name(shard) not in names]

    def write(self, shard: int, data: bytes) -> None:
        """Write one file in one step; it is on the disk when the call returns.

        Parameters
        ----------
        shard : int
            Number of the file.
        data : bytes
            The result of `shard_bytes`.

        Raises
        ------
        GannetError
            If it cannot be written, as on a full disk.
        """
        write_atomically(self.path / _name(shard), data)

    def model(self) -> Model:
        """Return the model that made the codes.

        Returns
        -------
        Model
            The model in the folder.

        Raises
        ------
        GannetError
            If its file is missing, damaged, or that of another model.
        """
        model = Model.load(self.path / MODEL)
        if (model.id, model.n_bits) != (self.model_id, self.n_bits):
            raise GannetError(f"{self.path / MODEL} is not the model that made these codes: copy the folder again")
        return model

    def blocks(self) -> Iterator[CodeBlock]:
        """Read the codes, one file at a time.

        Yields
        ------
        CodeBlock
            The items of one file. Their ids are above those of the blocks before; no id and no path repeats in the
            folder, except for rows of a matrix that have one name.

        Raises
        ------
        GannetError
            If a file is missing or damaged, or if it holds the codes of another model.
        """
        for shard in range(self.header.n_shards):
            yield self.read(shard)

    def read(self, shard: int) -> CodeBlock:
        """Read one file.

        Parameters
        ----------
        shard : int
            Number of the file.

        Returns
        -------
        CodeBlock
            Its items.

        Raises
        ------
        GannetError
            If it is missing or damaged, or if it holds the codes of another model.
        """
        pq = _parquet()
        file = self.path / _name(shard)
        with reading(f"is not a whole file of codes: delete it, and {_AGAIN}", str(file)):
            table = pq.read_table(file, partitioning=None, page_checksum_verification=True)
            facts = json.loads(table.schema.metadata[_METADATA])
            if (facts["model_id"], facts["n_bits"]) != (self.model_id, self.n_bits):
                raise GannetError(f"{file} holds the codes of another model: delete it, and {_AGAIN}")
            ids, packed, paths, digests, containers = (table[name] for name in _COLUMNS)
            codes = np.frombuffer(b"".join(packed.to_pylist()), np.uint8).reshape(-1, n_bytes(self.n_bits))
            if facts["shard"] != shard or len(codes) != len(ids):
                raise GannetError(f"{file} is not the file with this number: delete it, and {_AGAIN}")
            return CodeBlock(
                ids.to_numpy(),
                codes,
                paths.to_pylist(),
                [] if digests.null_count else digests.to_pylist(),
                containers.to_pylist(),
                [Skipped(*item) for item in facts["skipped"]],
            )

    def files(self) -> list[FileSummary]:
        """Return a summary of each file.

        Returns
        -------
        list of FileSummary
            The summaries, in the order of the ids.

        Raises
        ------
        GannetError
            If a file is missing or damaged.
        """
        return [self._summary(shard) for shard in range(self.header.n_shards)]

    def skipped(self) -> list[Skipped]:
        """Return the items that could not be read, from the metadata of all files.

        Returns
        -------
        list of Skipped
            Paths and reasons.
        """
        return [item for file in self.files() for item in file.skipped]

    def __len__(self) -> int:
        return sum(file.n_items for file in self.files())

    def _summary(self, shard: int) -> FileSummary:
        file = self.path / _name(shard)
        with reading(f"is not a whole file of codes: delete it, and {_AGAIN}", str(file)):
            found, modified = _parquet().read_metadata(file), file.stat().st_mtime
            facts = json.loads(found.metadata[_METADATA])
            skipped = [Skipped(*item) for item in facts["skipped"]]
            first = stop = 0
            if found.num_rows:
                ids = [found.row_group(group).column(0).statistics for group in (0, found.num_row_groups - 1)]
                first, stop = ids[0].min, ids[1].max + 1
            return FileSummary(found.num_rows, first, stop, skipped, facts["digest"], modified)


def is_code_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a text, of any length and content, is the path of a folder of codes.

    Parameters
    ----------
    path : str or path-like
        The text.

    Returns
    -------
    bool
        True if the folder holds a file ``gannet-codes.json``.
    """
    return is_file(os.path.join(path, HEADER))  # noqa: PTH118 - the text may be no path


def shard_bytes(block: CodeBlock, shard: int, model_id: str, n_bits: int) -> bytes:
    """Return the content of the file with a number, for `CodeFolder.write`."""
    pa, pq = load("pyarrow", "parquet", "writing Parquet"), _parquet()
    content = blake2b(block.ids.tobytes() + block.codes.tobytes(), digest_size=_DIGEST_BYTES)
    content.update(json.dumps([*block.paths, *(digest.hex() for digest in block.digests)]).encode())
    facts = {"version": VERSION, "model_id": model_id, "n_bits": n_bits, "shard": shard, "digest": content.hexdigest()}
    skipped = [[item.path, item.reason] for item in block.skipped]
    metadata = {_METADATA: json.dumps({**facts, "skipped": skipped})}
    kinds = (pa.int64(), pa.binary(n_bytes(n_bits)), pa.string(), pa.binary(_DIGEST_BYTES), pa.string())
    schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)), metadata)
    digests: Sequence[bytes | None] = block.digests or [None] * len(block.ids)
    values = (block.ids, list(map(bytes, block.codes)), block.paths, digests, block.containers)
    arrays = [pa.array(value, kind) for value, kind in zip(values, kinds, strict=True)]
    out = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out, compression="zstd", write_page_checksum=True)
    return out.getvalue()


def _parquet() -> Any:
    return load("pyarrow.parquet", "parquet", "folders of codes")


def _name(shard: int) -> str:
    return f"codes-{shard:06}.parquet"


def _read_header(folder: Path) -> Header:
    file = folder / HEADER
    if not is_code_folder(folder):
        raise GannetError(f"{folder} is no folder of codes: make one with `gannet encode`")
    with reading("is damaged: copy the folder again", str(file)):
        fields = json.loads(file.read_bytes())
        if fields.pop("format") != FORMAT or fields.pop("version") != VERSION:
            raise GannetError(f"{folder} comes from another version of Gannet: update Gannet or encode it again")
        return Header(**fields)


def _check_same(folder: Path, begun: Header, wanted: Header) -> None:
    """Raise an error unless a folder was begun with the model, the sources and the options wanted."""
    if begun.model_id != wanted.model_id:
        raise GannetError(
            f"{folder} holds the codes of another model ({begun.model_id[:12]}, not {wanted.model_id[:12]}): name "
            "another folder"
        )
    names, others = ([source["name"] for source in one.sources] for one in (begun, wanted))
    if names != others or _stored(begun.options) != _stored(wanted.options):
        how = "of another source" if names != others else "of the same source, read with other options"
        raise GannetError(f"{folder} holds the codes {how}, {', '.join(names)}: name another folder")
    for before, now in zip(begun.sources, wanted.sources, strict=True):
        if dict(before) != dict(now):
            raise GannetError(
                f"{now['name']} has changed since {folder} was begun ({before['n_items']:,} items then, "
                f"{now['n_items']:,} now): encode it into another folder"
            )


def _text_digest(content: object) -> str:
    """Return a digest of a value that JSON can hold."""
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=_DIGEST_BYTES).hexdigest()


def _stored(options: Mapping[str, Any]) -> str:
    return json.dumps(options, sort_keys=True)
