"""Compilation of kernels with numba; importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function with `numba.njit` and these options, without the interpreter lock.

    Compiled functions are cached on disk if there is a writable directory for them.
    """

    def compile_(function: F) -> F:
        compiled: F
        try:
            compiled = numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the package nor the user's cache directory can be written
            compiled = numba.njit(nogil=True, **options)(function)
        return compiled

    return compile_
