"""The backend spconv 2.3 (`pip install 'lass3d[spconv]'`).

It gets the pairs of our kernel maps and uses spconv's algorithm `Native`: gather the rows of an offset,
multiply, scatter. So every product is written to memory, and the host reads the counts of every convolution
back from the GPU. spconv's fused algorithms need maps of their own, built from coordinates. The fused backend
is `triton`.
It multiplies float32, in TF32 if `torch.backends.cuda.matmul.allow_tf32` is set, and on a GPU float16. It has
no bfloat16 and gets float32 instead.
On a CPU spconv has no backward pass; the gradients there are computed by the reference. With several threads
on a CPU its sums are wrong; that is refused. Only the CPU's part was ever run here.
"""

from __future__ import annotations

from typing import Any

import torch
from spconv import constants
from spconv.core import ConvAlgo
from spconv.pytorch import ops
from torch import Tensor
from torch.autograd.function import once_differentiable

from lass3d_core.errors import BackendUnavailable
from lass3d_core.sparse import reference
from lass3d_core.sparse.maps import KernelMap
from lass3d_core.sparse.tables import OncePerMap, first_pairs, on_device


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
        targets = len(pairs.by_target.offsets) - 1
        inputs = _taken(x), filters_of(_taken(weight)), *indices_of(pairs), targets
        _choose_tf32()
        with torch.autocast(x.device.type, enabled=False):
            result = ops.indice_conv(*inputs, subm=pairs.centre is not None, algo=ConvAlgo.Native)
        return result.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if x.device.type == "cpu" or not len(ctx.pairs.source):
            return reference.SparseProduct.backward(ctx, grad)
        filters, grads = filters_of(_taken(weight)), _taken(grad).contiguous()
        inputs = _taken(x), filters, grads, *indices_of(ctx.pairs)
        submanifold = ctx.pairs.centre is not None
        _choose_tf32()
        grad_x, grad_filters = ops.indice_conv_backward(*inputs, subm=submanifold, algo=ConvAlgo.Native)
        grad_weight = grad_filters.flatten(1, 3).permute(1, 2, 0)
        return grad_x.to(x.dtype), grad_weight.to(weight.dtype), None


class SubmanifoldConv(reference.SubmanifoldConv):
    product = _NativeProduct


class StridedConv(reference.StridedConv):
    product = _NativeProduct


class TransposedConv(reference.TransposedConv):
    product = _NativeProduct


def filters_of(weight: Tensor) -> Tensor:
    """weight (K,cin,cout) in spconv's layout (cout,x,y,z,cin)."""
    edge = round(len(weight) ** (1 / 3))
    return weight.permute(2, 0, 1).unflatten(1, (edge, edge, edge)).contiguous()


def _indices(pairs: KernelMap) -> tuple[Tensor, Tensor]:
    """The pairs as spconv wants them: rows (2,K,longest) int32, padded, and counts (K,) int32."""
    device = pairs.source.device
    places = first_pairs(pairs)[:-1, None] + torch.arange(max(pairs.counts), device=device)
    places.clamp_(max=len(pairs.source) - 1)
    counts = on_device(pairs.counts, torch.int32, device)
    return torch.stack([pairs.source[places], pairs.target[places]]), counts


indices_of = OncePerMap(_indices)


def _taken(x: Tensor) -> Tensor:
    """x in a type that spconv multiplies."""
    return x if x.dtype == torch.float16 and x.device.type == "cuda" else x.float()


def _choose_tf32() -> None:
    """Let spconv follow PyTorch's switch. It reads its own at every call."""
    constants.SPCONV_ALLOW_TF32 = torch.backends.cuda.matmul.allow_tf32
