"""How this package compiles its loops: numba, with the machine code kept on disk where that is possible.

The code is kept beside the sources, or where they cannot be written in the user's cache directory, or where
the environment variable NUMBA_CACHE_DIR (numba's own) says. With no such place the loops still work and are
compiled anew by each process, about ten seconds once.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile at the first call, without Python objects, and keep the result on disk when there is a
    place."""
    return _compiled(function, released=False)


def released(function: Function) -> Function:
    """The same, and while it runs other threads may run Python: for long work beside an event loop. Not for short
    questions, which would wait for the interpreter to get it back."""
    return _compiled(function, released=True)


def _compiled(function: Function, *, released: bool) -> Function:
    try:
        return cast(Function, numba.njit(cache=True, boundscheck=False, nogil=released)(function))
    except RuntimeError:  # no locator available: neither the sources nor a cache directory can be written
        return cast(Function, numba.njit(boundscheck=False, nogil=released)(function))
