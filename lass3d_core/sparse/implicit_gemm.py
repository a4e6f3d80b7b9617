"""The backend `triton`: sparse convolution by two kernels of our own, in Triton.

A tile of output rows and channels loops over the kernel offsets. It gathers the input rows of an offset,
multiplies them by the offset's matrix, and adds the product to its sums, which are float32. So a convolution
is one launch, and no product is written to memory but the result (an implicit matrix product, "implicit
GEMM"). The gradient of x is the same kernel with the offsets' matrices transposed. The gradient of weight is
a second kernel over the pairs of each offset, in pieces that are added in a fixed order. There are no atomic
additions: two runs agree to the last bit.

Types: float32, bfloat16, float16. A product of float32 is in float32, or in TF32 if
`torch.backends.cuda.matmul.allow_tf32` is set, as for PyTorch's own products.

It needs a GPU; PyTorch's CUDA builds bring Triton. On a machine that has one, tensors on the CPU are computed
by the reference, so that a trained network also predicts there.

What was run: forward and both gradients, against dense convolutions, through the interpreter of Triton 3.9 on
a CPU; and a step up to its launches, through the compilers of Triton 3.2 and 3.9, for compute capability 8.0
and 9.0. No GPU was met: nothing was launched on one. The sizes of the tiles are reasoned from the registers
that the compiler reports, not tuned.

Letters: P pairs of a map, K kernel offsets, R rows of the output, A and B channels of input and output.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from lass3d_core.errors import BackendUnavailable
from lass3d_core.sparse import reference
from lass3d_core.sparse.maps import KernelMap
from lass3d_core.sparse.tables import GatherTable, OncePerMap, first_pairs, make_gather_table

_ROWS = 64  # of a tile
_CHANNELS = 64  # of a tile, at most
_FLOAT32_DEPTH = 32  # channels of the input at once: with 64 the sums of float32 no longer fit the registers
_PAIRS = 32  # gathered at once for the gradient of weight
_LONGEST = 4096  # pairs that one piece of an offset's gradient sums
_PARTIAL_SUMS = 1 << 24  # numbers in all pieces, at most: 64 MiB
_CHANGING = ("row_count", "pieces")  # differ from batch to batch: no kernel is compiled for one value
_TYPES = (torch.float32, torch.bfloat16, torch.float16)

gather_table = OncePerMap(make_gather_table)
pair_starts = OncePerMap(first_pairs)


@triton.jit(do_not_specialize=_CHANGING)
def gathered_product(  # type: ignore[no-untyped-def]
    x,
    weight,
    sources,
    rows,
    result,
    row_count,
    cin,
    cout,
    stride_offset,
    stride_in,
    stride_out,
    OFFSETS: tl.constexpr,
    ROWS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """result[rows[r]] = the sum over the offsets k of x[sources[k, r]] @ weight[k], for one tile."""
    place = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    out = tl.program_id(1) * OUT + tl.arange(0, OUT)
    present = place < row_count
    sums = tl.zeros((ROWS, OUT), dtype=tl.float32)
    for k in range(OFFSETS):
        source = tl.load(sources + k * row_count + place, mask=present, other=-1)
        if tl.max(source, axis=0) >= 0:
            hit = source >= 0
            start = tl.where(hit, source, 0).to(tl.int64) * cin
            for first in range(0, cin, IN):
                channel = first + tl.arange(0, IN)
                known = channel < cin
                gathered = tl.load(
                    x + start[:, None] + channel[None, :], mask=hit[:, None] & known[None, :], other=0.0
                )
                matrix = tl.load(
                    weight + k * stride_offset + channel[:, None] * stride_in + out[None, :] * stride_out,
                    mask=known[:, None] & (out < cout)[None, :],
                    other=0.0,
                )
                if WIDEN:
                    gathered, matrix = gathered.to(tl.float32), matrix.to(tl.float32)
                sums = tl.dot(gathered, matrix, sums, input_precision=PRECISION)
    row = tl.load(rows + place, mask=present, other=0).to(tl.int64)
    to = result + row[:, None] * cout + out[None, :]
    tl.store(to, sums.to(result.dtype.element_ty), mask=present[:, None] & (out < cout)[None, :])


@triton.jit(do_not_specialize=_CHANGING)
def outer_products(  # type: ignore[no-untyped-def]
    x,
    grad,
    source,
    target,
    starts,
    partial,
    row_count,
    cin,
    cout,
    pieces,
    CENTRE: tl.constexpr,
    PAIRS: tl.constexpr,
    IN: tl.constexpr,
    OUT: tl.constexpr,
    PRECISION: tl.constexpr,
    WIDEN: tl.constexpr,
):
    """partial[piece, k] = the sum over a piece of k's pairs of x[source]^T grad[target], for one tile."""
    tiles_out = tl.cdiv(cout, OUT)
    channel = tl.program_id(0) // tiles_out * IN + tl.arange(0, IN)
    out = tl.program_id(0) % tiles_out * OUT + tl.arange(0, OUT)
    k, piece = tl.program_id(1), tl.program_id(2)
    listed = k != CENTRE  # under the centre every row meets itself, and no pair is listed
    begin = tl.where(listed, tl.load(starts + k), 0)
    end = tl.where(listed, tl.load(starts + k + 1), row_count)
    length = tl.cdiv(end - begin, pieces)
    begin = begin + piece * length
    end = tl.minimum(begin + length, end)
    listed_end = tl.where(listed, end, 0)
    sums = tl.zeros((IN, OUT), dtype=tl.float32)
    for first in range(begin, end, PAIRS):
        pair = first + tl.arange(0, PAIRS)
        present = pair < end
        from_row = tl.load(source + pair, mask=pair < listed_end, other=0)
        to_row = tl.load(target + pair, mask=pair < listed_end, other=0)
        from_row = tl.where(listed, from_row, pair).to(tl.int64)
        to_row = tl.where(listed, to_row, pair).to(tl.int64)
        gathered = tl.load(
            x + from_row[None, :] * cin + channel[:, None],
            mask=(channel < cin)[:, None] & present[None, :],
            other=0.0,
        )
        slope = tl.load(
            grad + to_row[:, None] * cout + out[None, :],
            mask=present[:, None] & (out < cout)[None, :],
            other=0.0,
        )
        if WIDEN:
            gathered, slope = gathered.to(tl.float32), slope.to(tl.float32)
        sums = tl.dot(gathered, slope, sums, input_precision=PRECISION)
    matrix = partial + (piece * tl.num_programs(1) + k).to(tl.int64) * cin * cout
    to = matrix + channel[:, None] * cout + out[None, :]
    tl.store(to, sums, mask=(channel < cin)[:, None] & (out < cout)[None, :])


INTERPRETED = not isinstance(gathered_product, triton.JITFunction)
"""Whether TRITON_INTERPRET=1 was set: the kernels then run on tensors of the CPU, slowly, for tests."""

if not INTERPRETED and not torch.cuda.is_available():
    raise BackendUnavailable(
        "the backend triton needs a GPU, and PyTorch sees none; choose the backend reference"
    )


class ImplicitProduct(reference.SparseProduct):
    """`SparseProduct` computed by the two kernels; on a CPU, without the interpreter, by the reference."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.pairs = pairs
        if not _fused(x):
            return reference.gathered_matmul(x, weight, pairs)
        return product(x, weight, gather_table(pairs))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if not _fused(x):
            return reference.SparseProduct.backward(ctx, grad)
        needs_x, needs_weight, _ = ctx.needs_input_grad
        grad = grad.contiguous()
        grad_x = _gradient_of_x(grad, weight, ctx.pairs) if needs_x else None
        return grad_x, gradient_of_weight(x, grad, ctx.pairs) if needs_weight else None, None


class SubmanifoldConv(reference.SubmanifoldConv):
    product = ImplicitProduct


class StridedConv(reference.StridedConv):
    product = ImplicitProduct


class TransposedConv(reference.TransposedConv):
    product = ImplicitProduct


def product(x: Tensor, weight: Tensor, table: GatherTable) -> Tensor:
    """The convolution of x (sources,A) with weight (K,A,B), which may be strided: (R,B) of the type of x."""
    offsets, cin, cout = weight.shape
    rows = len(table.rows)
    result = x.new_empty(rows, cout)
    if rows:
        grid = triton.cdiv(rows, _ROWS), triton.cdiv(cout, _tile(cout))
        tensors = x.contiguous(), weight, table.sources, table.rows, result
        sizes = rows, cin, cout, *weight.stride()
        with torch.cuda.device_of(x):  # Triton would launch on the current device
            gathered_product[grid](*tensors, *sizes, **constants_of_product(x.dtype, offsets, cin, cout))
    return result


def _gradient_of_x(grad: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    """The convolution of grad (R,B) with the transposed matrices, to the rows of the input: (sources,A)."""
    if pairs.centre is not None:
        # The transposed map of a 3x3x3 kernel has the pairs of k under 26 - k. So one table serves both.
        return product(grad, weight.flip(0).transpose(1, 2), gather_table(pairs))
    return product(grad, weight.transpose(1, 2), gather_table(pairs.transposed()))


def gradient_of_weight(x: Tensor, grad: Tensor, pairs: KernelMap) -> Tensor:
    """Per offset the sum over its pairs of the outer product of x[source] and grad[target]: (K,A,B)."""
    rows, cin, cout = len(grad), x.shape[1], grad.shape[1]
    offsets, centre = len(pairs.counts), -1 if pairs.centre is None else pairs.centre
    most = max(*pairs.counts, rows if pairs.centre is not None else 0)
    if not most:
        return x.new_zeros(offsets, cin, cout)
    pieces = max(1, min(triton.cdiv(most, _LONGEST), _PARTIAL_SUMS // (offsets * cin * cout)))
    partial = x.new_empty(pieces, offsets, cin, cout, dtype=torch.float32)
    grid = triton.cdiv(cin, _tile(cin)) * triton.cdiv(cout, _tile(cout)), offsets, pieces
    tensors = x.contiguous(), grad, pairs.source, pairs.target, pair_starts(pairs), partial
    with torch.cuda.device_of(x):
        constants = constants_of_outer_products(x.dtype, centre, cin, cout)
        outer_products[grid](*tensors, rows, cin, cout, pieces, **constants)
    return partial.sum(0).to(x.dtype)


def constants_of_product(dtype: torch.dtype, offsets: int, cin: int, cout: int) -> dict[str, Any]:
    """What `gathered_product` is compiled for."""
    depth = min(_tile(cin), _FLOAT32_DEPTH) if dtype == torch.float32 else _tile(cin)
    return {"OFFSETS": offsets, "ROWS": _ROWS, "IN": depth, "OUT": _tile(cout), **_arithmetic(dtype)}


def constants_of_outer_products(dtype: torch.dtype, centre: int, cin: int, cout: int) -> dict[str, Any]:
    """What `outer_products` is compiled for. centre: -1 if there is none."""
    return {"CENTRE": centre, "PAIRS": _PAIRS, "IN": _tile(cin), "OUT": _tile(cout), **_arithmetic(dtype)}


def _fused(x: Tensor) -> bool:
    """Whether the kernels compute with x. Raises BackendUnavailable for a type that they do not have."""
    if x.device.type == "cpu" and not INTERPRETED:
        return False
    if x.dtype not in _TYPES:
        raise BackendUnavailable(
            f"the backend triton has no {str(x.dtype).removeprefix('torch.')}; use float32, bfloat16 or "
            "float16, or choose the backend reference"
        )
    return True


def _tile(channels: int) -> int:
    """Channels of a tile: a power of two, at least the 16 that a product needs."""
    return min(max(triton.next_power_of_2(channels), 16), _CHANNELS)


def _arithmetic(dtype: torch.dtype) -> dict[str, Any]:
    """How the kernels multiply. The interpreter would multiply the bits of bfloat16, so it gets float32."""
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"
    return {"PRECISION": precision, "WIDEN": INTERPRETED and dtype == torch.bfloat16}
