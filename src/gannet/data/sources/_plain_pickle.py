"""Read pickles of plain data without running them.

Unpickling runs any code in a file, and a restricted `Unpickler` would still import and call the names it permits.
The reader below executes no pickle: it walks the opcodes with `pickletools.genops`, which only splits a stream into
names and arguments, and builds plain data from a small set of them. Two constructions, a NumPy array and a byte string,
are recognized by name and rebuilt here; any other is an error.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gannet.data.base import one_line
from gannet.errors import GannetError


def read_plain_pickle(data: bytes, name: str) -> Any:
    """Return the plain value in a pickle of protocol 2: containers, int, bool, str, bytes, uint8 arrays.

    Raises a `GannetError` if the stream is damaged, or does anything but build such a value.
    """
    try:
        return _Reader(len(data)).run(data)
    except _RefusedError as error:
        raise GannetError(f"{name} is refused: it holds {one_line(error)}, not plain data") from None
    except Exception as error:  # a damaged stream can fail at any step, and no step runs anything
        raise GannetError(f"{name} is damaged: {one_line(error)}") from error


class _RefusedError(Exception):
    """The stream holds more than plain data."""


@dataclass(frozen=True)
class _Name:
    """A name that the stream asks to import. Nothing is imported."""

    text: str


class _Array:
    """An array under construction: `_reconstruct` makes it, and its state fills it."""

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
    """A stack machine for the opcodes of plain data, whose work is bounded by the number of bytes in the stream."""

    def __init__(self, n_bytes: int) -> None:
        self._encodable = n_bytes
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for opcode, argument, _ in pickletools.genops(data):
            self._step(opcode.name, argument)
        # The last value may be an array. One without content is not plain data.
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
                stack[-1].update((_key(key), _finished(value)) for key, value in pairs)
            case "GLOBAL":
                if argument not in _KNOWN_NAMES:
                    raise _RefusedError(f"the name {argument!r}")
                stack.append(_Name(argument))
            case "REDUCE":
                name, arguments = self._pop(2)
                stack.append(self._construct(name, arguments))
            case "BUILD":
                target, state = self._pop(2)
                if isinstance(target, _Array):
                    target.value = _array(state)
                # The state of a dtype (byte order, flags) adds nothing for uint8.
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

    def _construct(self, name: Any, arguments: Any) -> Any:
        """Return the object that a call of a known name makes from its arguments."""
        text = name.text if isinstance(name, _Name) else None
        if text in _RECONSTRUCT:
            return _Array()
        if text == _DTYPE:
            if arguments[0] not in ("u1", b"u1"):
                raise _RefusedError("an array that is not uint8")
            return _Name(_DTYPE)
        if text == _ENCODE and isinstance(arguments[0], str):
            # Protocol 2 has no byte strings: Python 3 writes them as Latin-1 text and a call that encodes it. A short
            # stream can repeat the call on one long text.
            self._encodable -= len(arguments[0])
            if self._encodable < 0:
                raise ValueError("more byte strings than the stream has bytes")
            return arguments[0].encode("latin-1")
        raise _RefusedError("a call")


def _key(value: Any) -> Any:
    """Return the key of a dict: a text, byte string or number. Nested tuples take exponential time to hash."""
    if not isinstance(value, str | bytes | int):
        raise _RefusedError("a key that is not a text")
    return value


def _array(state: Any) -> NDArray[np.uint8]:
    """Return the array that a pickled state describes: version, shape, dtype, Fortran order, bytes."""
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
