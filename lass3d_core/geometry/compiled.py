"""`compiled`: numba's njit, with the machine code kept on disk if there is a folder for it.

Import this module inside a function only: numba takes a second to load, and most commands project nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(function: Callable[..., Any]) -> Any:
    """Compile `function` at its first call.

    Division by zero gives infinity or NaN, as in numpy. No fast-math: the pairs must be the same on every
    machine.
    """
    try:
        return njit(cache=True, error_model="numpy")(function)
    except RuntimeError:
        # numba finds no folder that it can write to: each process compiles for itself, in some seconds.
        return njit(error_model="numpy")(function)
