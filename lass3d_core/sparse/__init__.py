"""Sparse convolution: three operations, several backends.

A backend is a module of this folder with three `nn.Module` classes, without bias because a batch norm
follows:

- `SubmanifoldConv(cin, cout)(x (M,cin), pyramid.submanifold[l]) -> (M,cout)`: 3x3x3, on the input's voxels.
- `StridedConv(cin, cout)(x (M_l,cin), pyramid.stride[l]) -> (M_{l+1},cout)`: 2x2x2, to the coarser level.
- `TransposedConv(cin, cout)(x (M_{l+1},cin), pyramid.stride[l]) -> (M_l,cout)`: 2x2x2, to the finer level.

Each has one parameter, `weight (K,cin,cout)`, with the K kernel offsets ordered as in `maps.KernelMap`. So a
checkpoint of one backend loads into another. `maps.build_pyramid` makes the maps. What a backend makes from a
map (a table, a list of starts), it makes once per map: `tables.OncePerMap`.

To add a backend: its module here, and its line in BACKENDS. tests/lass3d_core/sparse/test_backends.py then
compares it with dense convolutions.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple

from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.settings import nearest


class Backend(NamedTuple):
    """module: its name in this folder. remedy: how to get the package that it needs."""

    module: str
    remedy: str


BACKENDS = {
    "reference": Backend("reference", ""),
    "triton": Backend("implicit_gemm", "pip install 'lass3d[triton]', or install a CUDA build of PyTorch"),
    "spconv": Backend("spconv", "pip install 'lass3d[spconv]' (spconv-cu1xx for a GPU)"),
    "torchsparse": Backend("torchsparse", "build torchsparse 2.1 from its sources, on a machine with a GPU"),
}
"""Name of the backend, as `net.backend` has it -> its module, and how to install what it needs."""


def load_backend(name: str) -> ModuleType:
    """The backend `name`. Raises UnknownName, and BackendUnavailable if its package or a GPU is missing."""
    if name not in BACKENDS:
        known = f"{', '.join(BACKENDS)}{nearest(name, BACKENDS)}"
        raise UnknownName(f"sparse backend {name!r} is unknown; choose from {known}")
    module, remedy = BACKENDS[name]
    try:
        return importlib.import_module(f"lass3d_core.sparse.{module}")
    except (ImportError, RuntimeError, AssertionError) as error:  # some packages want a GPU when imported
        reason = str(error).partition("\n")[0]
        raise BackendUnavailable(
            f"sparse backend {name!r} cannot be loaded ({reason}); {remedy}, or choose the backend reference"
        ) from error
