"""Many tensors as one. A loader's worker hands over each tensor by itself, half a millisecond for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

_ALIGNMENT = 8  # bytes: the widest number


class _Place(NamedTuple):
    """A tensor's place among the packed bytes: behind the place before it."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def size(self) -> int:
        """In bytes, with the gap that aligns the next one."""
        return -(-self.bytes // _ALIGNMENT) * _ALIGNMENT

    def view(self, packed: Tensor, start: int) -> Tensor:
        """The tensor that begins at byte `start` of packed (B,) uint8."""
        return packed[start : start + self.bytes].view(self.dtype).view(self.shape)


class _Node(NamedTuple):
    kind: type  # tuple or a dataclass
    children: tuple[Any, ...]


def pack(value: Any) -> tuple[Any, Tensor]:
    """Put all tensors of `value` into one. `value`: a tree of dataclasses and tuples with tensors in it.

    Returns the skeleton, which `unpack` needs, and the bytes (B,) uint8 of the tensors.
    """
    found: list[tuple[_Place, Tensor]] = []
    skeleton = _skeleton(value, found)
    places, tensors = zip(*found)
    *starts, size = accumulate((place.size for place in places), initial=0)
    first = tensors[0]
    packed = torch.empty(0, dtype=torch.uint8, device=first.device)
    if _are_packed(tensors, starts, size):
        return skeleton, packed.set_(first.untyped_storage(), _first_byte(first), (size,), (1,))
    packed.resize_(size)
    for place, start, tensor in zip(places, starts, tensors):
        place.view(packed, start).copy_(tensor)
    return skeleton, packed


def unpack(skeleton: Any, packed: Tensor) -> Any:
    """The inverse of `pack`. The tensors share the memory of `packed`."""
    start = 0

    def rebuilt(part: Any) -> Any:
        nonlocal start
        if isinstance(part, _Place):
            tensor = part.view(packed, start)
            start += part.size
            return tensor
        if isinstance(part, _Node):
            children = map(rebuilt, part.children)
            return tuple(children) if part.kind is tuple else part.kind(*children)
        return part

    return rebuilt(skeleton)


def _skeleton(value: Any, found: list[tuple[_Place, Tensor]]) -> Any:
    """`value` with a _Place for each tensor. Places and tensors are appended to `found`."""
    if isinstance(value, Tensor):
        place = _Place(value.dtype, tuple(value.shape))
        found.append((place, value))
        return place
    if isinstance(value, tuple):
        return _Node(tuple, tuple(_skeleton(item, found) for item in value))
    if is_dataclass(value) and not isinstance(value, type):
        items = [getattr(value, field.name) for field in fields(value)]
        return _Node(type(value), tuple(_skeleton(item, found) for item in items))
    return value


def _are_packed(tensors: Sequence[Tensor], starts: list[int], size: int) -> bool:
    """Whether the tensors lie in memory as `unpack` leaves them, so that nothing has to be copied."""
    origin, memory = _first_byte(tensors[0]), tensors[0].untyped_storage()
    if origin % _ALIGNMENT or origin + size > memory.nbytes():
        return False
    return all(
        tensor.is_contiguous()
        and _first_byte(tensor) == origin + start
        and tensor.untyped_storage().data_ptr() == memory.data_ptr()
        for tensor, start in zip(tensors, starts)
    )


def _first_byte(tensor: Tensor) -> int:
    """Where in its memory the tensor begins."""
    return int(tensor.storage_offset()) * tensor.itemsize
