"""Sparse convolution in plain PyTorch: every device, every float type, deterministic.

Per kernel offset: gather the source rows (few enough to stay in the cache) and multiply them by the offset's
matrix. Then sum per target row, by an `embedding_bag` over the pairs grouped by row: an order of magnitude
faster than `index_add_`, and always in the same order. The centre gathers nothing: it is one plain product.
Backward, the rows of the upstream gradient are gathered once, for the gradients of the input and the weight.
`benchmarks/convolution.py` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lass3d_core.sparse.maps import KernelMap

_SUM = 0  # embedding_bag's code for it
_CACHED_BYTES = 1 << 19  # gathered rows of a run: a fraction of a core's second-level cache


class SparseProduct(torch.autograd.Function):
    """Per target row the sum over its pairs of x[source] @ weight[offset]; and the two gradients of that."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        return gathered_matmul(x, weight, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs_x, needs_weight, _ = ctx.needs_input_grad
        if needs_x and needs_weight:
            return *_gradients(x, weight, grad, ctx.pairs), None
        if needs_x:
            return gathered_matmul(grad, weight.transpose(1, 2), ctx.pairs.transposed()), None, None
        return None, _weight_gradient(x, weight, grad, ctx.pairs), None


class _Convolution(nn.Module):
    """What the three have in common: the weight (K, cin, cout) and the mixed-precision cast.

    product: its `apply(x, weight, pairs)` computes; other backends are the same three with another product.
    Decision: Kaiming normal for ReLU; fan-in = cin times the pairs of an output in a full neighbourhood.
    """

    product: ClassVar[Any] = SparseProduct

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
        result: Tensor = self.product.apply(x, weight, pairs)
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


def gathered_matmul(x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    """x (sources,A) times weight (K,A,B) over the pairs, summed per target: (targets,B)."""
    products = x.new_empty(len(pairs.source), weight.shape[2])
    matrices = weight.unbind(0)
    offsets, sizes = _steps(pairs, x)
    for offset, rows, out in zip(offsets, _gathered(x, pairs.source, sizes), products.split(sizes)):
        torch.mm(rows, matrices[offset], out=out)
    return _summed(products, x, matrices, pairs)


def _gradients(x: Tensor, weight: Tensor, grad: Tensor, pairs: KernelMap) -> tuple[Tensor, Tensor]:
    """The gradients of x and of weight; both need the rows of grad, which are gathered once."""
    products = grad.new_empty(len(pairs.source), x.shape[1])
    grad_weight = torch.zeros_like(weight)
    matrices, grad_matrices = weight.transpose(1, 2).unbind(0), grad_weight.unbind(0)
    offsets, sizes = _steps(pairs, x, grad)
    for offset, source_rows, target_rows, out in zip(
        offsets,
        _gathered(x, pairs.source, sizes),
        _gathered(grad, pairs.target, sizes),
        products.split(sizes),
    ):
        torch.mm(target_rows, matrices[offset], out=out)
        grad_matrices[offset].addmm_(source_rows.t(), target_rows)
    if pairs.centre is not None:
        torch.mm(x.t(), grad, out=grad_matrices[pairs.centre])
    return _summed(products, grad, matrices, pairs.transposed()), grad_weight


def _weight_gradient(x: Tensor, weight: Tensor, grad: Tensor, pairs: KernelMap) -> Tensor:
    """Per offset the sum over its pairs of the outer products x[source] grad[target], (K,cin,cout)."""
    grad_weight = torch.zeros_like(weight)
    grad_matrices = grad_weight.unbind(0)
    offsets, sizes = _steps(pairs, x, grad)
    for offset, source_rows, target_rows in zip(
        offsets, _gathered(x, pairs.source, sizes), _gathered(grad, pairs.target, sizes)
    ):
        grad_matrices[offset].addmm_(source_rows.t(), target_rows)
    if pairs.centre is not None:
        torch.mm(x.t(), grad, out=grad_matrices[pairs.centre])
    return grad_weight


def _steps(pairs: KernelMap, *gathered: Tensor) -> tuple[list[int], list[int]]:
    """The pairs cut into runs of one offset: the offset of each run and its length.

    On a CPU an offset with many pairs is cut, so that a run's rows stay in the cache until they are
    multiplied; elsewhere every offset is one run, for there each run costs a launch.
    """
    widest = max(x.shape[1] * x.element_size() for x in gathered)
    longest = max(_CACHED_BYTES // widest, 256) if gathered[0].device.type == "cpu" else max(*pairs.counts, 1)
    offsets, sizes = [], []
    for offset, count in enumerate(pairs.counts):
        for start in range(0, count, longest):
            offsets.append(offset)
            sizes.append(min(longest, count - start))
    return offsets, sizes


def _gathered(x: Tensor, rows: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    """The chosen rows of x, run by run, in one buffer that the next run overwrites."""
    buffer = x.new_empty(max(sizes, default=0), x.shape[1])
    for chosen in rows.split(sizes):
        yield torch.index_select(x, 0, chosen, out=buffer[: len(chosen)])


def _summed(products: Tensor, x: Tensor, matrices: tuple[Tensor, ...], pairs: KernelMap) -> Tensor:
    """products (P,B) of the pairs summed per target, and the centre's product, which is not among them."""
    bags = pairs.by_target
    summed: Tensor = torch.embedding_bag(
        products, bags.positions, bags.offsets, mode=_SUM, include_last_offset=True
    )[0]
    return summed if pairs.centre is None else summed.addmm_(x, matrices[pairs.centre])
