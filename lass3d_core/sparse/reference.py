"""Sparse convolution in plain PyTorch: every device, every float type, deterministic.

Gather the source rows of all pairs, multiply them by the matrix of their offset, sum per target row. The sum is
an `embedding_bag` over pairs grouped by row, an order of magnitude faster than `index_add_` and of a fixed order;
the centre, which needs no gathering, is one plain product. The backward pass does the same with the two sides
exchanged.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lass3d_core.sparse.maps import Bags, KernelMap


class _Convolution(nn.Module):
    """What the three have in common: the weight (K, cin, cout) and the mixed-precision cast.

    Decision: Kaiming normal for ReLU, fan-in = the pairs that one output has in a full neighbourhood times cin.
    """

    def __init__(self, cin: int, cout: int, offsets: int, pairs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(offsets, cin, cout) * math.sqrt(2 / (pairs * cin)))

    def extra_repr(self) -> str:
        """Shown between the parentheses of the module's print."""
        return "offsets={}, cin={}, cout={}".format(*self.weight.shape)

    def _convolve(self, x: Tensor, pairs: KernelMap) -> Tensor:
        weight = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        result: Tensor = _SparseProduct.apply(x, weight, pairs)
        return result


class SubmanifoldConv(_Convolution):
    """3x3x3 convolution, stride 1, whose output voxels are its input voxels; equals a zero-padded dense one there."""

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
    """out[target] += x[source] @ weight[k] over the pairs of every offset k, and x @ weight[centre]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        gathered = x.index_select(0, pairs.source)
        return _gathered_product(gathered, weight, pairs, pairs.by_target, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        pairs, grad = ctx.pairs, grad.contiguous()
        gathered = grad.index_select(0, pairs.target)
        grad_x = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_x = _gathered_product(gathered, weight.transpose(1, 2), pairs, pairs.by_source, grad)
        if ctx.needs_input_grad[1]:
            grad_weight = _weight_gradient(x, grad, gathered, pairs)
        return grad_x, grad_weight, None


def _gathered_product(gathered: Tensor, weight: Tensor, pairs: KernelMap, bags: Bags, x: Tensor) -> Tensor:
    """The rows `gathered` (P,A) times the matrix of their offset in weight (K,A,B), summed by `bags`, (rows,B)."""
    products = gathered.new_empty(len(gathered), weight.shape[2])
    matrices = weight.unbind(0)
    for rows, matrix, out in zip(gathered.split(pairs.counts), matrices, products.split(pairs.counts)):
        torch.mm(rows, matrix, out=out)
    summed: Tensor = torch.embedding_bag(
        products,
        bags.positions,
        bags.offsets,
        mode=0,
        include_last_offset=True,  # 0: sum
    )[0]
    if pairs.centre is not None:
        summed.addmm_(x, matrices[pairs.centre])
    return summed


def _weight_gradient(x: Tensor, grad: Tensor, gathered_grad: Tensor, pairs: KernelMap) -> Tensor:
    """Sum over the pairs of each offset of x[source]^T grad[target], (K, cin, cout)."""
    result = x.new_empty(len(pairs.counts), x.shape[1], grad.shape[1])
    gathered_x = x.index_select(0, pairs.source)
    for rows, grads, out in zip(gathered_x.split(pairs.counts), gathered_grad.split(pairs.counts), result):
        torch.mm(rows.t(), grads, out=out)
    if pairs.centre is not None:
        torch.mm(x.t(), grad, out=result[pairs.centre])
    return result
