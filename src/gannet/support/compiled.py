"""Compilation of kernels with numba; importing this module imports numba."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

from gannet.support.arrays import log
from gannet.support.cache import has_home

F = TypeVar("F", bound=Callable[..., Any])


def jit(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function with `numba.njit` and these options, without the interpreter lock.

    Compiled functions are cached on disk if there is a writable directory for them. ``NUMBA_DISABLE_JIT`` has no effect
    on them: as plain Python they would be too slow, or fail.
    """

    def compile_(function: F) -> F:
        disabled, numba.config.DISABLE_JIT = numba.config.DISABLE_JIT, 0
        try:
            compiled: Any = numba.njit(nogil=True, **options)(function)
        finally:
            numba.config.DISABLE_JIT = disabled
        try:
            compiled._cache = _KernelCache(function)
        except (RuntimeError, OSError):
            _warn_not_cached("no folder for them can be written")
        result: F = compiled
        return result

    return compile_


class _KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of a compiled function on disk, whose failures are no errors: the function is compiled anew."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if not (numba.config.CACHE_DIR or has_home()):
            raise RuntimeError("the user has no home folder")  # numba would make one that is named ~
        super().__init__(function)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file can fail in any way
            found = None
        if found is None:
            say_compiling()
        return found

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            try:
                super().save_overload(sig, data)
            except OSError:
                raise
            except Exception:  # the list of compiled functions is damaged
                self.flush()
                super().save_overload(sig, data)
        except OSError as error:
            _warn_not_cached(error.strerror or str(error))


@functools.cache
def say_compiling() -> None:
    """Log that functions are being compiled, once per process, since nothing else shows for some seconds."""
    log.warning("compiling functions for this computer; this happens once and takes some seconds")


@functools.cache
def _warn_not_cached(reason: str) -> None:
    log.warning(
        "compiled functions cannot be kept (%s), so every run compiles them again: set NUMBA_CACHE_DIR to a folder",
        reason,
    )
