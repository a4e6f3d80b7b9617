"""Many tensors as one. A loader's worker hands over every tensor by itself, half a millisecond for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

_ALIGNMENT = 8  # bytes: of the widest number

Layout = tuple[tuple[torch.dtype, tuple[int, ...]], ...]
"""Type and shape of each tensor."""


def pack(tensors: Sequence[Tensor]) -> tuple[Tensor, Layout]:
    """The bytes of all `tensors` end to end, (B,) uint8, and what they were."""
    layout = tuple((tensor.dtype, tuple(tensor.shape)) for tensor in tensors)
    one = torch.zeros(sum(_room(_bytes(*kind)) for kind in layout), dtype=torch.uint8)
    for place, tensor in zip(unpack(one, layout), tensors):
        place.copy_(tensor)
    return one, layout


def unpack(one: Tensor, layout: Layout) -> list[Tensor]:
    """The inverse of `pack`; the tensors share the memory of the one."""
    tensors, start = [], 0
    for dtype, shape in layout:
        count = _bytes(dtype, shape)
        tensors.append(one[start : start + count].view(dtype).view(shape))
        start += _room(count)
    return tensors


def _bytes(dtype: torch.dtype, shape: Sequence[int]) -> int:
    return math.prod(shape) * dtype.itemsize


def _room(count: int) -> int:
    """`count` bytes and the gap behind them."""
    return -(-count // _ALIGNMENT) * _ALIGNMENT
