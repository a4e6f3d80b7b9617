"""The products of a convolution by few, large kernels, for a GPU, where every launch costs time.

All pairs are gathered at once. In bfloat16 one grouped product multiplies all offsets. Else one product
multiplies two offsets that mirror each other, for they have equally many pairs.
Letters: P pairs of a map, K kernel offsets, A and B channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from lass3d_core.sparse.maps import KernelMap

_GROUPED_CAPABILITIES = (9, 10)  # of NVIDIA's GPUs. On others PyTorch falls back to a loop that waits.
_ALIGNMENT = 16  # bytes, of the rows of a grouped product


def products_of(rows: Tensor, weight: Tensor, pairs: KernelMap) -> Tensor:
    """rows (P,A) of the pairs, each times its offset's matrix of weight (K,A,B): (P,B)."""
    if _can_group(rows, weight.shape[2]):
        return functional.grouped_mm(rows, weight, offs=pairs.ends)
    products = rows.new_empty(len(rows), weight.shape[2])
    for run in _runs(pairs):
        torch.bmm(run.rows_of(rows), weight[run.offsets], out=run.rows_of(products))
    return products


def outer_products_of(rows: Tensor, grads: Tensor, pairs: KernelMap) -> Tensor:
    """Per offset the sum over its pairs of the outer product of rows (P,A) and grads (P,B): (K,A,B)."""
    if _can_group(rows, grads.shape[1]):
        # An offset without pairs gets zeros.
        return functional.grouped_mm(rows.t(), grads, offs=pairs.ends)
    sums = rows.new_zeros(len(pairs.counts), rows.shape[1], grads.shape[1])
    for run in _runs(pairs):
        torch.bmm(run.rows_of(rows).transpose(1, 2), run.rows_of(grads), out=sums[run.offsets])
    return sums


def _can_group(rows: Tensor, channels: int) -> bool:
    """Whether PyTorch multiplies rows (P,A) by matrices (A,`channels`) of all offsets in one kernel."""
    widths = rows.shape[1] * rows.element_size(), channels * rows.element_size()
    return (
        rows.dtype == torch.bfloat16
        and len(rows) > 0
        and not any(width % _ALIGNMENT for width in widths)
        and _device_groups(rows.device)
    )


@lru_cache
def _device_groups(device: torch.device) -> bool:
    if not hasattr(functional, "grouped_mm"):
        return False  # PyTorch before 2.10
    return device.type == "cpu" or (
        torch.version.hip is None and torch.cuda.get_device_capability(device)[0] in _GROUPED_CAPABILITIES
    )


@dataclass(frozen=True)
class _Run:
    """Offsets with equally many pairs: one, or two that mirror each other."""

    offsets: slice
    starts: tuple[int, ...]  # the first pair of each
    count: int  # of the pairs of each

    def rows_of(self, x: Tensor) -> Tensor:
        """The rows of x (P,A) that belong to the offsets, (offsets,count,A). A view."""
        width = x.shape[1]
        apart = (self.starts[-1] - self.starts[0]) * width
        shape = (len(self.starts), self.count, width)
        return x.as_strided(shape, (apart, width, 1), x.storage_offset() + self.starts[0] * width)


def _runs(pairs: KernelMap) -> Iterator[_Run]:
    """All offsets that have pairs; two at once if the map has a centre, for then it mirrors itself."""
    starts = [0]
    for count in pairs.counts:
        starts.append(starts[-1] + count)
    last = len(pairs.counts) - 1
    for offset, count in enumerate(pairs.counts if pairs.centre is None else pairs.counts[: pairs.centre]):
        if count and pairs.centre is None:
            yield _Run(slice(offset, offset + 1), (starts[offset],), count)
        elif count:
            mirror = last - offset
            yield _Run(slice(offset, mirror + 1, mirror - offset), (starts[offset], starts[mirror]), count)
