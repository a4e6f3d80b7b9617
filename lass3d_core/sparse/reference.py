"""Sparse convolution in plain PyTorch: every device, every float type, deterministic.

For each kernel offset, gather the source rows and multiply them by the offset's matrix. Then sum the products
per target row, in float32. On a CPU the offsets are taken in turn, in runs that stay in the cache. On a GPU
all are taken at once, see large_products.py. benchmarks/convolution.py measures the speed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from lass3d_core.sparse.large_products import outer_products_of, products_of
from lass3d_core.sparse.maps import KernelMap

_SUM = 0  # embedding_bag's code for a sum
_CACHED_BYTES = 1 << 19  # size of a run's gathered rows: a fraction of a core's second-level cache
_large_everywhere = False  # see `as_on_a_gpu`


class SparseProduct(torch.autograd.Function):
    """y[target] = sum over the pairs of x[source] @ weight[offset], with the gradients of x and weight."""

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
        if needs_weight:
            return *_gradients(x, weight, grad, ctx.pairs, needs_x), None
        return gathered_matmul(grad, weight.transpose(1, 2), ctx.pairs.transposed()), None, None


class _Convolution(nn.Module):
    """Base of the three convolutions, whose shapes are in lass3d_core/sparse/__init__.py.

    product: `product.apply(x, weight, pairs)` computes the result. A backend may replace it.
    Decision: the weight starts as Kaiming normal for ReLU. The fan-in is cin times the pairs that an output
    has in a full neighbourhood.
    """

    product: ClassVar[Any] = SparseProduct
    offsets: ClassVar[int]
    pairs: ClassVar[int]  # that an output has in a full neighbourhood

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(self.offsets, cin, cout) * math.sqrt(2 / (self.pairs * cin)))

    def forward(self, x: Tensor, pairs: KernelMap) -> Tensor:
        weight: Tensor = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        return self.product.apply(x, weight, pairs)


class SubmanifoldConv(_Convolution):
    """3x3x3 convolution, stride 1, on the input's voxels. There it equals a zero-padded dense convolution."""

    offsets, pairs = 27, 27


class StridedConv(_Convolution):
    """2x2x2 convolution, stride 2, onto the next coarser level."""

    offsets, pairs = 8, 8


class TransposedConv(_Convolution):
    """2x2x2 transposed convolution, stride 2, onto the occupied voxels of the next finer level."""

    offsets, pairs = 8, 1

    def forward(self, x: Tensor, pairs: KernelMap) -> Tensor:
        return super().forward(x, pairs.transposed())


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Within the block a CPU computes by the few, large kernels of a GPU, for tests and counts."""
    global _large_everywhere
    before, _large_everywhere = _large_everywhere, True
    try:
        yield
    finally:
        _large_everywhere = before


def _at_once(x: Tensor) -> bool:
    """Whether all offsets are taken at once. On a CPU the gathered rows would leave its cache."""
    return x.device.type != "cpu" or _large_everywhere


def gathered_matmul(x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    """The sum over the pairs of x[source] @ weight[offset] per target, (targets,B).

    x (sources,A). weight (K,A,B).
    """
    matrices = weight.unbind(0)
    if _at_once(x):
        return _summed(products_of(x.index_select(0, pairs.source), weight, pairs), x, matrices, pairs)
    products = x.new_empty(len(pairs.source), weight.shape[2])
    offsets, sizes = _runs(pairs, x)
    for offset, rows, out in zip(offsets, _gathered(x, pairs.source, sizes), products.split(sizes)):
        torch.mm(rows, matrices[offset], out=out)
    return _summed(products, x, matrices, pairs)


def _gradients(
    x: Tensor, weight: Tensor, grad: Tensor, pairs: KernelMap, needs_x: bool
) -> tuple[Tensor | None, Tensor]:
    """The gradients of x, if it is needed, and of weight. Both need the same rows of grad, gathered once.

    Of weight: per offset the sum over its pairs of the outer product of x[source] and grad[target].
    """
    transposed = weight.transpose(1, 2)
    form = _products_at_once if _at_once(x) else _products_in_runs
    products, grad_weight = form(x, transposed, grad, pairs, needs_x)
    if pairs.centre is not None:
        torch.mm(x.t(), grad, out=grad_weight[pairs.centre])
    if products is None:
        return None, grad_weight
    return _summed(products, grad, transposed.unbind(0), pairs.transposed()), grad_weight


def _products_at_once(
    x: Tensor, transposed: Tensor, grad: Tensor, pairs: KernelMap, needs_x: bool
) -> tuple[Tensor | None, Tensor]:
    """The products (P,A) that add up to the gradient of x, if it is needed, and the gradient of weight.

    transposed (K,B,A).
    """
    target_rows = grad.index_select(0, pairs.target)
    grad_weight = outer_products_of(x.index_select(0, pairs.source), target_rows, pairs)
    return products_of(target_rows, transposed, pairs) if needs_x else None, grad_weight


def _products_in_runs(
    x: Tensor, transposed: Tensor, grad: Tensor, pairs: KernelMap, needs_x: bool
) -> tuple[Tensor | None, Tensor]:
    """As `_products_at_once`."""
    products = grad.new_empty(len(pairs.source) if needs_x else 0, x.shape[1])
    grad_weight = transposed.new_zeros(len(transposed), x.shape[1], grad.shape[1])
    matrices, grad_matrices = transposed.unbind(0), grad_weight.unbind(0)
    offsets, sizes = _runs(pairs, x, grad)
    outs = products.split(sizes) if needs_x else itertools.repeat(products)
    rows = _gathered(x, pairs.source, sizes), _gathered(grad, pairs.target, sizes)
    for offset, source_rows, target_rows, out in zip(offsets, *rows, outs):
        if needs_x:
            torch.mm(target_rows, matrices[offset], out=out)
        grad_matrices[offset].addmm_(source_rows.t(), target_rows)
    return products if needs_x else None, grad_weight


def _runs(pairs: KernelMap, *gathered: Tensor) -> tuple[list[int], list[int]]:
    """The runs in which the pairs are multiplied, each of one offset: offset and length of each run."""
    # An offset with many pairs is cut, so that the rows of a run stay in the cache until they are multiplied.
    widest = max(x.shape[1] * x.element_size() for x in gathered)
    longest = max(_CACHED_BYTES // widest, 256)
    offsets, sizes = [], []
    for offset, count in enumerate(pairs.counts):
        for start in range(0, count, longest):
            offsets.append(offset)
            sizes.append(min(longest, count - start))
    return offsets, sizes


def _gathered(x: Tensor, rows: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    """The chosen rows of x, run by run. The next run overwrites the buffer of the last."""
    buffer = x.new_empty(max(sizes, default=0), x.shape[1])
    for chosen in rows.split(sizes):
        yield torch.index_select(x, 0, chosen, out=buffer[: len(chosen)])


def _summed(products: Tensor, x: Tensor, matrices: tuple[Tensor, ...], pairs: KernelMap) -> Tensor:
    """products (P,B) summed per target row, plus the centre's product, whose pairs are not listed."""
    rows = pairs.by_target
    # embedding_bag is ten times as fast as index_add_, and always sums in the same order.
    summed: Tensor = torch.embedding_bag(
        products, rows.positions, rows.offsets, mode=_SUM, include_last_offset=True
    )[0]
    return summed if pairs.centre is None else summed.addmm_(x, matrices[pairs.centre])
