"""Sparse convolution in plain PyTorch: every device, every float type, deterministic.

Per kernel offset: gather the source rows (few enough to stay in the cache) and multiply them by the offset's
matrix. Then sum per target row, by an `embedding_bag` over the pairs grouped by row: an order of magnitude
faster than `index_add_`, and always in the same order. The centre gathers nothing: it is one plain product.
The backward pass is the same with source and target exchanged. `benchmarks/convolution.py` measures it.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lass3d_core.sparse.maps import KernelMap

_SUM = 0  # embedding_bag's code for it


class _Convolution(nn.Module):
    """What the three have in common: the weight (K, cin, cout) and the mixed-precision cast.

    Decision: Kaiming normal for ReLU; fan-in = cin times the pairs of an output in a full neighbourhood.
    """

    def __init__(self, cin: int, cout: int, offsets: int, pairs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(offsets, cin, cout) * math.sqrt(2 / (pairs * cin)))

    def extra_repr(self) -> str:
        """Shown between the parentheses of the module's print."""
        return "offsets={}, cin={}, cout={}".format(*self.weight.shape)

    def _convolve(self, x: Tensor, pairs: KernelMap) -> Tensor:
        weight: Tensor = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        result: Tensor = _SparseProduct.apply(x, weight, pairs)
        return result


class SubmanifoldConv(_Convolution):
    """3x3x3 convolution, stride 1, on the input's own voxels; there it equals a zero-padded dense one."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(cin, cout, offsets=27, pairs=27)

    def forward(self, x: Tensor, pairs: KernelMap) -> Tensor:
        """x (M,cin), pairs = pyramid.submanifold[l] -> (M,cout)."""
        return self._convolve(x, pairs)


class StridedConv(_Convolution):
    """2x2x2 convolution, stride 2, onto the next coarser level."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(cin, cout, offsets=8, pairs=8)

    def forward(self, x: Tensor, pairs: KernelMap) -> Tensor:
        """x (M_l,cin), pairs = pyramid.stride[l] -> (M_{l+1},cout)."""
        return self._convolve(x, pairs)


class TransposedConv(_Convolution):
    """2x2x2 transposed convolution, stride 2, onto the occupied voxels of the next finer level."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(cin, cout, offsets=8, pairs=1)

    def forward(self, x: Tensor, pairs: KernelMap) -> Tensor:
        """x (M_{l+1},cin), pairs = pyramid.stride[l] -> (M_l,cout)."""
        return self._convolve(x, pairs.transposed())


class _SparseProduct(torch.autograd.Function):
    """Per target row the sum over its pairs of x[source] @ weight[offset]; and the two gradients of that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        return _product(x, weight, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs_x, needs_weight, _ = ctx.needs_input_grad
        grad_x = _product(grad, weight.transpose(1, 2), ctx.pairs.transposed()) if needs_x else None
        grad_weight = _weight_gradient(x, grad, ctx.pairs) if needs_weight else None
        return grad_x, grad_weight, None


def _product(x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    """x (sources,A) times weight (K,A,B) over the pairs, summed per target: (targets,B)."""
    products = x.new_empty(len(pairs.source), weight.shape[2])
    matrices = weight.unbind(0)
    for source, matrix, out in zip(pairs.source.split(pairs.counts), matrices, products.split(pairs.counts)):
        torch.mm(x.index_select(0, source), matrix, out=out)
    bags = pairs.by_target
    summed: Tensor = torch.embedding_bag(
        products, bags.positions, bags.offsets, mode=_SUM, include_last_offset=True
    )[0]
    return summed if pairs.centre is None else summed.addmm_(x, matrices[pairs.centre])


def _weight_gradient(x: Tensor, grad: Tensor, pairs: KernelMap) -> Tensor:
    """Per offset the sum over its pairs of the outer products x[source] grad[target], (K,cin,cout)."""
    result = x.new_empty(len(pairs.counts), x.shape[1], grad.shape[1])
    for source, target, out in zip(
        pairs.source.split(pairs.counts), pairs.target.split(pairs.counts), result
    ):
        torch.mm(x.index_select(0, source).t(), grad.index_select(0, target), out=out)
    if pairs.centre is not None:
        torch.mm(x.t(), grad, out=result[pairs.centre])
    return result
