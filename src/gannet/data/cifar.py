"""The official Python archive of CIFAR-10, read without running any of it.

The archive's batches are pickles, and unpickling runs whatever a file says. A restricted `Unpickler` would
still import and call what it lets through. The reader below executes no pickle: it walks the opcodes with
`pickletools.genops`, which only splits a stream into names and arguments, and builds plain data from a small
set of them. The two constructions that the batches hold, a NumPy array and a byte string, are recognised by
name and rebuilt here; any other is an error.
"""

from __future__ import annotations

import pickletools
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import ArraySource, reason
from gannet.errors import GannetError

#: The ten classes, by label.
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip

_FOLDER = "cifar-10-batches-py"
_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN, "test_batch")
_PIXELS = 3 * 32 * 32
_MAX_BATCH_BYTES = 1 << 27


def open_cifar10(path: str) -> ArraySource | None:
    """Open the official CIFAR-10: its archive, its folder, or a folder that holds it; None for anything else.

    Its items are the 50,000 training images in the order of the batches, then the 10,000 test images.

    Raises:
        GannetError: it is CIFAR-10, and incomplete or damaged.
    """
    if path.lower().endswith((".tar.gz", ".tgz", ".tar")):
        return _build(path, _tar_members(path))
    for folder in (path, str(Path(path, _FOLDER))):
        found = [name for name in _BATCHES if Path(folder, name).is_file()]
        if found:
            return _build(folder, _folder_members(folder, found))
    return None


def _folder_members(folder: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        path = Path(folder, name)
        try:
            if path.stat().st_size > _MAX_BATCH_BYTES:
                raise GannetError(f"{path} is too large for a CIFAR-10 batch")
            yield name, path.read_bytes()
        except OSError as error:
            raise GannetError(f"{path} {reason(error)}") from error


def _tar_members(path: str) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = Path(member.name).name
                if name in _BATCHES and member.isfile():
                    if member.size > _MAX_BATCH_BYTES:
                        raise GannetError(f"{path}: {member.name} is too large for a CIFAR-10 batch")
                    file = archive.extractfile(member)
                    assert file is not None  # a regular file always has one
                    yield name, file.read()
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise GannetError(f"{path} is not a complete tar archive: {error}; download it again") from error
    except OSError as error:
        raise GannetError(f"{path} {reason(error)}") from error


def _build(container: str, files: Iterator[tuple[str, bytes]]) -> ArraySource:
    # Each batch is read before the next is loaded: the set is held in memory once, not twice.
    by_name = {name: _read_batch(f"{container}: {name}", data) for name, data in files}
    missing = [name for name in _BATCHES if name not in by_name]
    if missing:
        raise GannetError(f"{container} is not a complete CIFAR-10: it lacks {', '.join(missing)}")
    batches = [by_name[name] for name in _BATCHES]
    pixels = np.concatenate([batch[0] for batch in batches]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = np.concatenate([batch[1] for batch in batches])
    n_test = len(batches[-1][1])
    parts = {"train": len(labels) - n_test, "test": n_test}
    source = ArraySource(container, pixels, parts, labels, CIFAR10_CLASSES)
    source.name = "cifar10"
    return source


def _read_batch(name: str, data: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the (n, 3072) pixels, colour planes one after another, and the (n,) labels."""
    batch = read_plain_pickle(data, name)
    if isinstance(batch, dict):
        # Python 2 wrote byte strings, Python 3 writes either.
        batch = {key.decode("latin-1") if isinstance(key, bytes) else key: batch[key] for key in batch}
        pixels, labels = batch.get("data"), batch.get("labels")
        if (
            isinstance(pixels, np.ndarray)
            and pixels.ndim == 2
            and pixels.shape[1] == _PIXELS
            and isinstance(labels, list)
            and len(labels) == len(pixels)
            and all(isinstance(label, int) and 0 <= label < len(CIFAR10_CLASSES) for label in labels)
        ):
            return pixels, np.array(labels, dtype=np.int64)
    raise GannetError(f"{name} is not a CIFAR-10 batch of (n, {_PIXELS}) 'data' and n 'labels' of 0 to 9")


def read_plain_pickle(data: bytes, name: str) -> Any:
    """Return the plain value in a pickle of protocol 2: containers, int, bool, str, bytes, uint8 arrays.

    Raises:
        GannetError: the stream is damaged, or does anything but build such a value.
    """
    try:
        return _Reader().run(data)
    except _RefusedError as error:
        raise GannetError(f"{name} is refused: it holds {error}, not plain data") from None
    except Exception as error:  # a damaged stream can fail at any step, and no step runs anything
        raise GannetError(f"{name} is damaged: {error}") from error


class _RefusedError(Exception):
    """The stream asks for more than plain data."""


@dataclass(frozen=True)
class _Name:
    """A name that the stream asks to import; it stays a name."""

    text: str


class _Array:
    """An array under construction: `_reconstruct` makes it, its state fills it."""

    value: NDArray[np.uint8] | None = None


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = frozenset({"BININT", "BININT1", "BININT2", "BINUNICODE"})
_BYTE_STRINGS = frozenset({"BINSTRING", "SHORT_BINSTRING"})
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_PUTS = frozenset({"BINPUT", "LONG_BINPUT"})
_GETS = frozenset({"BINGET", "LONG_BINGET"})
_RECONSTRUCT = frozenset({"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"})
_DTYPE = "numpy dtype"
_ENCODE = "_codecs encode"
_KNOWN_NAMES = _RECONSTRUCT | {_DTYPE, _ENCODE, "numpy ndarray"}


class _Reader:
    """A stack machine for the opcodes that plain data need."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            self._step(opcode.name, argument)
        # The last value may be an array; anything half-built is not plain data.
        return _finished(self._stack.pop())

    def _step(self, opcode: str, argument: Any) -> None:
        stack = self._stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _PUTS:
            self._memo[argument] = stack[-1]
        elif opcode in _GETS:
            stack.append(self._memo[argument])
        elif opcode in _BYTE_STRINGS:
            stack.append(argument.encode("latin-1"))
        elif opcode in _TUPLES:
            stack.append(tuple(self._pop(_TUPLES[opcode])))
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in ("PROTO", "STOP"):
            pass
        else:
            self._build(opcode, argument)

    def _build(self, opcode: str, argument: Any) -> None:
        """Apply an opcode that makes or fills a container, an array or a byte string."""
        stack = self._stack
        match opcode:
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "MARK":
                self._marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(self._since_mark()))
            case "APPEND" | "APPENDS":
                values = self._pop(1) if opcode == "APPEND" else self._since_mark()
                stack[-1].extend(values)
            case "SETITEM" | "SETITEMS":
                values = self._pop(2) if opcode == "SETITEM" else self._since_mark()
                pairs = zip(values[::2], values[1::2], strict=True)
                stack[-1].update((key, _finished(value)) for key, value in pairs)
            case "GLOBAL":
                if argument not in _KNOWN_NAMES:
                    raise _RefusedError(f"the name {argument!r}")
                stack.append(_Name(argument))
            case "REDUCE":
                name, arguments = self._pop(2)
                stack.append(_construct(name, arguments))
            case "BUILD":
                target, state = self._pop(2)
                if isinstance(target, _Array):
                    target.value = _array(state)
                # A dtype's state (byte order, flags) says nothing more about uint8.
                stack.append(target)
            case _:
                raise _RefusedError(f"the instruction {opcode}")

    def _pop(self, count: int) -> list[Any]:
        if count > len(self._stack):
            raise ValueError("a value is missing")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return values

    def _since_mark(self) -> list[Any]:
        return self._pop(len(self._stack) - self._marks.pop())


def _construct(name: Any, arguments: Any) -> Any:
    """Rebuild what a known name makes from its arguments."""
    text = name.text if isinstance(name, _Name) else None
    if text in _RECONSTRUCT:
        return _Array()
    if text == _DTYPE:
        if arguments[0] not in ("u1", b"u1"):
            raise _RefusedError("an array that is not uint8")
        return _Name(_DTYPE)
    if text == _ENCODE and isinstance(arguments[0], str):
        # Protocol 2 has no byte strings: Python 3 writes them as Latin-1 text to be encoded.
        return arguments[0].encode("latin-1")
    raise _RefusedError("a call")


def _array(state: Any) -> NDArray[np.uint8]:
    """Return the array of a pickled array's state: version, shape, dtype, Fortran order, bytes."""
    _, shape, _, fortran, data = state
    return np.frombuffer(data, dtype=np.uint8).reshape(shape, order="F" if fortran else "C")


def _finished(value: Any) -> Any:
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("an array without content")
        return value.value
    if isinstance(value, _Name):
        raise _RefusedError("a bare name")
    return value
