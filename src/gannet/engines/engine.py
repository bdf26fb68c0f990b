"""The base class of the engines, which other distributions extend to add their own, and the data that they store."""

from __future__ import annotations

import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import ClassVar, Literal

import numpy as np

from gannet.codes import Codes, Ids
from gannet.engines.address import Address
from gannet.errors import GannetError
from gannet.index.protocol import Distances

FORMAT = 1
"""Version of the stored header and tables."""


@dataclass(frozen=True)
class Header:
    """What an engine stores about an export, besides the rows and the model.

    Attributes
    ----------
    n_bits : int
        Length of the codes in bits.
    model_id : str
        SHA-256 of the model file.
    created : str
        When the exported collection was created, or a digest of the sources of a folder of codes; with ``model_id``, it
        identifies the collection or folder.
    changed : str
        When the collection had last been changed at the last export that was finished; empty before the first.
    state : str
        State of the collection at that export; empty before the first.
    stop : int
        A number above all stored ids.
    pending : str
        State of the collection that is being exported; empty if no export is unfinished.
    position : int
        Ids below this number are as in the state ``pending``.
    """

    n_bits: int
    model_id: str
    created: str
    changed: str = ""
    state: str = ""
    stop: int = 0
    pending: str = ""
    position: int = 0

    def to_json(self) -> str:
        """Return the header as text.

        Returns
        -------
        str
            A JSON object.
        """
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str, where: object) -> Header:
        """Return the header in a text.

        Parameters
        ----------
        text : str
            Result of `to_json`.
        where : object
            Address of the target, for messages.

        Returns
        -------
        Header
            The header.

        Raises
        ------
        GannetError
            If the text is no header, or if a newer version of Gannet has written it.
        """
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version != FORMAT:
                raise GannetError(
                    f"{where} has format {version}, and this version of Gannet reads format {FORMAT}: use the version "
                    "that wrote it"
                )
            header = cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, GannetError):
                raise
            raise GannetError(f"{where} is damaged: its header is unreadable; export to another place") from error
        return header

    def finished(self, changed: str, stop: int) -> Header:
        """Return the header after an export of ids below ``stop``.

        Parameters
        ----------
        changed : str
            When the collection was last changed.
        stop : int
            A number above all stored ids.

        Returns
        -------
        Header
            The header, with the state that was pending.
        """
        return replace(self, changed=changed, state=self.pending, stop=stop, pending="", position=0)


@dataclass(frozen=True)
class Rows:
    """Items with their codes, ascending by id.

    Attributes
    ----------
    ids : ndarray of shape (n,), dtype int64
        Distinct ids, ascending.
    codes : ndarray of shape (n, ceil(n_bits / 8)), dtype uint8
        Packed codes.
    paths : sequence of bytes of length n
        Paths, which need not be valid UTF-8.
    digests : sequence of bytes or None of length n
        Digests of the items' content; None for items without one.
    """

    ids: Ids
    codes: Codes
    paths: Sequence[bytes]
    digests: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, places: Ids) -> Rows:
        """Return some of the rows.

        Parameters
        ----------
        places : ndarray of shape (m,), dtype int64
            Places of the rows.

        Returns
        -------
        Rows
            The rows, in the order of the places.
        """
        some = places.tolist()
        paths, digests = [self.paths[i] for i in some], [self.digests[i] for i in some]
        return Rows(self.ids[places], self.codes[places], paths, digests)

    @cached_property
    def marks(self) -> Ids:
        """Checksums ``(n,)`` int64 of code, path and digest, by which a changed row is recognized."""
        rows = zip(self.codes, self.paths, self.digests, strict=True)
        data = b"".join(
            blake2b(b"%d:%b%b%b" % (len(digest or b""), digest or b"", code.tobytes(), path), digest_size=8).digest()
            for code, path, digest in rows
        )
        return np.frombuffer(data, "<i8").astype(np.int64)


class Engine(ABC):
    """A store of codes, ids, paths and digests that searches them: one subclass per kind of store.

    Subclasses set ``name``, the scheme of their targets, and implement the abstract methods. Other distributions name
    their subclasses in the entry-point group ``gannet.indexes``; the entry point has the name of the scheme.

    The constructor opens or connects to the store, and with ``writable`` makes it if needed; then `header` is called,
    and `create` if it returns None, before any other method. The constructor loads its library by
    `gannet.support.libraries.load`, which names the extra to install. All calls raise `GannetError` with one line
    that names the target by ``str(self.address)``, which contains no password; after an error, such as a lost
    connection, the next call works again if the store does. Searches may run in several threads at once; only one
    thread writes. Results are ordered by distance, then by id.

    Parameters
    ----------
    address : Address
        The parsed target.
    writable : bool
        Whether the store is to be changed.

    Attributes
    ----------
    name : str
        Scheme of the targets.
    options : tuple of str
        Names of the options that targets may have after a question mark.
    passes_options : bool, default=False
        Whether other options are allowed; they are in ``address.passed``.
    max_id : int, default=2**63 - 1
        Largest id that the store can hold.
    block : int, default=65536
        Length of the ranges of ids in which rows are written and compared.
    address : Address
        The argument.
    """

    is_engine: ClassVar[bool] = True  # distinguishes it from the indexes in memory of the same entry-point group
    name: ClassVar[str]
    options: ClassVar[tuple[str, ...]] = ()
    passes_options: ClassVar[bool] = False
    max_id: ClassVar[int] = 2**63 - 1
    block: ClassVar[int] = 1 << 16

    def __init__(self, address: Address, writable: bool) -> None:
        self.address = address
        self.writable = writable

    @property
    def exact(self) -> bool:
        """Whether searches are exact with this address, and give equal distances in the order of the ids."""
        return True

    @abstractmethod
    def header(self) -> Header | None:
        """Return the stored header.

        Returns
        -------
        Header or None
            The header; None if nothing was exported to this place.
        """

    @abstractmethod
    def create(self, header: Header, model: bytes) -> None:
        """Make empty tables, and store the header and the model; a call that was interrupted may be repeated.

        Parameters
        ----------
        header : Header
            The first header.
        model : bytes
            The model file.
        """

    @abstractmethod
    def write_header(self, header: Header) -> None:
        """Replace the header.

        Parameters
        ----------
        header : Header
            The new header.
        """

    @abstractmethod
    def model(self) -> bytes:
        """Return the stored model.

        Returns
        -------
        bytes
            The model file.
        """

    @abstractmethod
    def write(self, rows: Rows) -> None:
        """Store rows in bulk, in place of rows with the same ids; all of them or none.

        Parameters
        ----------
        rows : Rows
            One to `block` rows, within one range of ids ``[i * block, (i + 1) * block)``.
        """

    @abstractmethod
    def delete(self, ids: Ids) -> None:
        """Delete the rows of some ids; ids that are not stored are left out.

        Parameters
        ----------
        ids : ndarray of shape (n,), dtype int64
            One or more distinct ids, ascending.
        """

    @abstractmethod
    def finish(self) -> None:
        """Do what is worth doing once after all rows are written, such as building indexes; often nothing."""

    @abstractmethod
    def marks(self, first: int, stop: int) -> tuple[Ids, Ids]:
        """Return the ids in a range, and the checksums of their rows.

        Parameters
        ----------
        first, stop : int
            The first id, and the one after the last.

        Returns
        -------
        ids : ndarray of shape (m,), dtype int64
            The stored ids from ``first`` to before ``stop``, ascending.
        marks : ndarray of shape (m,), dtype int64
            `Rows.marks` of these rows, as they were written.
        """

    @abstractmethod
    def read(self, ids: Ids) -> Rows:
        """Return the rows of some ids.

        Parameters
        ----------
        ids : ndarray of shape (n,), dtype int64
            One or more distinct ids, ascending.

        Returns
        -------
        Rows
            The rows of the ids that are stored, ascending by id.
        """

    def codes(self, ids: Ids) -> tuple[Ids, Codes]:
        """Return the codes of some ids; override it if the store has a faster way than `read`.

        Parameters
        ----------
        ids : ndarray of shape (n,), dtype int64
            One or more distinct ids, ascending.

        Returns
        -------
        ids : ndarray of shape (m,), dtype int64
            The ids that are stored, ascending.
        codes : ndarray of shape (m, ceil(n_bits / 8)), dtype uint8
            Their packed codes.
        """
        rows = self.read(ids)
        return rows.ids, rows.codes

    @abstractmethod
    def find(self, column: Literal["path", "digest"], values: Sequence[bytes]) -> Ids:
        """Return the ids of the rows with certain paths or digests.

        Parameters
        ----------
        column : {"path", "digest"}
            What is compared.
        values : sequence of bytes
            One or more paths or digests.

        Returns
        -------
        ndarray of shape (m,), dtype int64
            Ids, ascending.
        """

    @abstractmethod
    def search(self, queries: Codes, k: int) -> tuple[Distances, Ids]:
        """Return the ``k`` nearest codes of each query; see `gannet.Index.search`.

        Parameters
        ----------
        queries : ndarray of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        k : int
            Number of neighbors, 1 or more.

        Returns
        -------
        distances : ndarray of shape (q, min(k, n)), dtype int64
            Hamming distances in bits, ascending in each row.
        ids : ndarray of shape (q, min(k, n)), dtype int64
            Ids of the codes; equal distances are in the order of the ids.
        """

    @abstractmethod
    def radius(self, queries: Codes, r: int) -> list[tuple[Distances, Ids]]:
        """Return all codes at most ``r`` bits away from each query, always exactly; see `gannet.Index.radius`.

        Parameters
        ----------
        queries : ndarray of shape (q, ceil(n_bits / 8)), dtype uint8
            Packed codes.
        r : int
            Largest distance in bits, 0 or more.

        Returns
        -------
        list of (distances, ids)
            One pair of int64 arrays of shape (hits,) per query, ordered by distance, then by id.
        """

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of stored rows."""

    @abstractmethod
    def close(self) -> None:
        """Close the store; a closed engine may be closed again."""

    @contextlib.contextmanager
    def explained(self, *errors: type[Exception]) -> Iterator[None]:
        """Turn errors of the engine's library into a `GannetError` that names the target.

        Parameters
        ----------
        *errors : type
            Classes of the library's errors. Their messages must not contain a password.

        Yields
        ------
        None
            The block may call the library.
        """
        try:
            yield
        except GannetError:
            raise
        except errors as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise GannetError(f"{self.address} cannot be used: {reason}") from error


def as_rectangle(found: Sequence[tuple[Distances, Ids]]) -> tuple[Distances, Ids]:
    """Return the results of several queries, all of one length, as two arrays ``(q, m)``."""
    distances, ids = zip(*found, strict=True) if found else ((), ())
    shape = (len(found), -1) if found else (0, 0)
    return np.array(distances, np.int64).reshape(shape), np.array(ids, np.int64).reshape(shape)
