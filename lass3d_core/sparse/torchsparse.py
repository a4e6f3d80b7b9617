"""The backend torchsparse 2.1. It runs on a GPU only, and was never run here.

Written from the public source of torchsparse 2.1.0 (github.com/mit-han-lab/torchsparse, commit 385f5ce).
It gets the pairs of our kernel maps and uses the dataflow `GatherScatter`: every product is written to
memory. The other dataflows need maps of their own, built from coordinates. It has float32 and float16; other
types become float32. The fused backend is `triton`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchsparse.nn.functional.conv.func.gather_scatter import GatherScatterConvolutionFuntion

from lass3d_core.errors import BackendUnavailable
from lass3d_core.sparse import reference
from lass3d_core.sparse.maps import KernelMap
from lass3d_core.sparse.tables import OncePerMap

_CONFIG = {"epsilon": 0.0, "mm_thresh": 0}  # no grouping of offsets


class _GatherScatterProduct:
    """`SparseProduct` computed by torchsparse, gradients included."""

    @staticmethod
    def apply(x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        if x.device.type != "cuda":
            raise BackendUnavailable("torchsparse needs a GPU; choose the backend reference")
        exact = x.dtype if x.dtype == torch.float16 else torch.float32
        inputs = x.to(exact), weight.to(exact), _kernel_map(pairs)
        return GatherScatterConvolutionFuntion.apply(*inputs, _CONFIG, False).to(x.dtype)


class SubmanifoldConv(reference.SubmanifoldConv):
    product = _GatherScatterProduct


class StridedConv(reference.StridedConv):
    product = _GatherScatterProduct


class TransposedConv(reference.TransposedConv):
    product = _GatherScatterProduct


def _make_kernel_map(pairs: KernelMap) -> dict[str, object]:
    """The map of torchsparse: (P,2) int32 of (source, target) by offset, the centre's pairs included."""
    # The forward pass multiplies the centre without its pairs, but the backward pass reads them.
    rows, counts = torch.stack([pairs.source, pairs.target], dim=1), list(pairs.counts)
    sources, targets = len(pairs.by_source.offsets) - 1, len(pairs.by_target.offsets) - 1
    if pairs.centre is not None:
        before = sum(counts[: pairs.centre])
        itself = torch.arange(targets, dtype=torch.int32, device=rows.device)[:, None].expand(-1, 2)
        rows = torch.cat([rows[:before], itself, rows[before:]])
        counts[pairs.centre] = targets
    sizes, unused = torch.tensor(counts, dtype=torch.int32), rows.new_empty(0)
    masks = {"input_mask": unused, "output_mask": unused}
    return {"nbmaps": rows, "nbsizes": sizes, "sizes": (sources, targets), **masks}


_kernel_map = OncePerMap(_make_kernel_map)
