"""The backend spconv 2.3 (`pip install 'lass3d[spconv]'`).

It gets the pairs of our kernel maps and uses spconv's algorithm `Native` (gather, multiply, scatter), which
needs no coordinates. The fused algorithms of spconv would have to build their maps again.
On a CPU spconv has no backward pass; the gradients there are computed by the reference. With several threads
on a CPU its sums are wrong; that is refused. It has no bfloat16; it gets float32 instead.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from spconv.core import ConvAlgo
from spconv.pytorch import ops
from torch import Tensor
from torch.autograd.function import once_differentiable

from lass3d_core.errors import BackendUnavailable
from lass3d_core.sparse import reference
from lass3d_core.sparse.maps import KernelMap


class _NativeProduct(reference.SparseProduct):
    """`SparseProduct` computed by spconv, or by the reference if there are no pairs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        if not len(pairs.source):
            return reference.gathered_matmul(x, weight, pairs)
        if x.device.type == "cpu" and torch.get_num_threads() > 1:
            raise BackendUnavailable(
                "spconv gives wrong sums on a CPU with several threads; set OMP_NUM_THREADS=1, or "
                "choose the backend reference"
            )
        exact, targets = _exact(x.dtype), len(pairs.by_target.offsets) - 1
        inputs = x.to(exact), filters_of(weight.to(exact)), *indices_of(pairs), targets
        with torch.autocast(x.device.type, enabled=False):
            result = ops.indice_conv(*inputs, subm=pairs.centre is not None, algo=ConvAlgo.Native)
        return result.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if x.device.type == "cpu" or not len(ctx.pairs.source):
            return reference.SparseProduct.backward(ctx, grad)
        exact = _exact(x.dtype)
        filters, grads = filters_of(weight.to(exact)), grad.to(exact).contiguous()
        inputs = x.to(exact), filters, grads, *indices_of(ctx.pairs)
        submanifold = ctx.pairs.centre is not None
        grad_x, grad_filters = ops.indice_conv_backward(*inputs, subm=submanifold, algo=ConvAlgo.Native)
        grad_weight = grad_filters.flatten(1, 3).permute(1, 2, 0)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None


class SubmanifoldConv(reference.SubmanifoldConv):
    product = _NativeProduct


class StridedConv(reference.StridedConv):
    product = _NativeProduct


class TransposedConv(reference.TransposedConv):
    product = _NativeProduct


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype == torch.bfloat16 else dtype


def filters_of(weight: Tensor) -> Tensor:
    """weight (K,cin,cout) in spconv's layout (cout,x,y,z,cin)."""
    edge = round(len(weight) ** (1 / 3))
    return weight.permute(2, 0, 1).unflatten(1, (edge, edge, edge)).contiguous()


def indices_of(pairs: KernelMap) -> tuple[Tensor, Tensor]:
    """The pairs as spconv wants them: rows (2,K,longest) int32, padded, and counts (K,) int32."""
    device = pairs.source.device
    starts = torch.tensor([0, *itertools.accumulate(pairs.counts[:-1])], device=device)
    places = starts[:, None] + torch.arange(max(pairs.counts), device=device)
    places.clamp_(max=len(pairs.source) - 1)
    counts = torch.tensor(pairs.counts, dtype=torch.int32, device=device)
    return torch.stack([pairs.source[places], pairs.target[places]]), counts
