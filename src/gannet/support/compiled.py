"""How kernels are compiled; importing this module imports numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])


def jit(**options: Any) -> Callable[[F], F]:
    """Compile a function without the interpreter lock, kept on disk between runs where there is a place to keep it.

    ``options`` are `numba.njit`'s.
    """

    def compile_(function: F) -> F:
        compiled: F
        try:
            compiled = numba.njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # neither the package nor the user's cache directory can be written
            compiled = numba.njit(nogil=True, **options)(function)
        return compiled

    return compile_
