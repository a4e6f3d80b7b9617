"""Sparse convolution: one vocabulary of operations, several backends.

A backend is a module with three `nn.Module` classes, none with a bias, for a batch norm follows:
`SubmanifoldConv(cin, cout)(x (M,cin), pyramid.submanifold[l]) -> (M,cout)`: 3x3x3, on the input's voxels;
`StridedConv(cin, cout)(x (M_l,cin), pyramid.stride[l]) -> (M_{l+1},cout)`: 2x2x2, one level coarser;
`TransposedConv(cin, cout)(x (M_{l+1},cin), pyramid.stride[l]) -> (M_l,cout)`: 2x2x2, back to the finer level.
Each has one parameter, `weight (K,cin,cout)` with K ordered as in `maps.KernelMap`, so that the checkpoint of
one backend loads into another. The maps come from `maps.build_pyramid`.
"""

from __future__ import annotations

from types import ModuleType

from lass3d_core.errors import UnknownName
from lass3d_core.typed import nearest

BACKENDS = ("reference",)


def load(name: str) -> ModuleType:
    """The backend called `name`. Raises UnknownName, and BackendUnavailable where its package is absent."""
    match name:
        case "reference":
            from lass3d_core.sparse import reference

            return reference
        case _:
            known = ", ".join(BACKENDS)
            raise UnknownName(
                f"sparse backend {name!r} is unknown; choose from {known}{nearest(name, BACKENDS)}"
            )
