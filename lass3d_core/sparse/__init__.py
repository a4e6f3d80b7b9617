"""Sparse convolution: one vocabulary of operations, several backends.

A backend is a module with three `nn.Module` classes, none with a bias, for a batch norm follows:
`SubmanifoldConv(cin, cout)(x (M,cin), pyramid.submanifold[l]) -> (M,cout)`: 3x3x3, on the input's voxels;
`StridedConv(cin, cout)(x (M_l,cin), pyramid.stride[l]) -> (M_{l+1},cout)`: 2x2x2, one level coarser;
`TransposedConv(cin, cout)(x (M_{l+1},cin), pyramid.stride[l]) -> (M_l,cout)`: 2x2x2, back to the finer level.
Each has one parameter, `weight (K,cin,cout)` with K ordered as in `maps.KernelMap`, so that the checkpoint of
one backend loads into another. The maps come from `maps.build_pyramid`.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.settings import nearest

BACKENDS = ("reference", "spconv", "torchsparse")


def load_backend(name: str) -> ModuleType:
    """The backend called `name`. Raises UnknownName, and BackendUnavailable where its package is absent."""
    match name:
        case "reference":
            return importlib.import_module("lass3d_core.sparse.reference")
        case "spconv":
            return _optional(name, "pip install 'lass3d[spconv]' (spconv-cu1xx for a GPU)")
        case "torchsparse":
            return _optional(name, "build torchsparse 2.1 from its sources, on a machine with a GPU")
        case _:
            known = ", ".join(BACKENDS)
            raise UnknownName(
                f"sparse backend {name!r} is unknown; choose from {known}{nearest(name, BACKENDS)}"
            )


def _optional(name: str, remedy: str) -> ModuleType:
    """The backend of a package that may be absent, or may want a GPU already when it is imported."""
    try:
        return importlib.import_module(f"lass3d_core.sparse.{name}")
    except (ImportError, RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise BackendUnavailable(
            f"sparse backend {name!r} cannot be loaded ({reason}); {remedy}, or choose the backend reference"
        ) from error
