"""What a backend makes from a kernel map: made once per map, without waiting for the device.

Letters: P pairs of a map, K kernel offsets, R rows of the output.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from lass3d_core.sparse.maps import KernelMap

Made = TypeVar("Made")


class OncePerMap(Generic[Made]):
    """`make(pairs)`, remembered as long as the map lives.

    A map is known by its tensors `source` and `target`, because `KernelMap.transposed` gives a new object at
    each call. What `make` returns must not hold these tensors themselves: they would then live for ever.
    """

    def __init__(self, make: Callable[[KernelMap], Made]) -> None:
        self._make = make
        self._kept = WeakTensorKeyDictionary()

    def __call__(self, pairs: KernelMap) -> Made:
        kept: tuple[weakref.ref[Tensor], Made] | None = self._kept.get(pairs.target)
        if kept is not None and kept[0]() is pairs.source:
            return kept[1]
        made = self._make(pairs)
        self._kept[pairs.target] = weakref.ref(pairs.source), made
        return made

    def __len__(self) -> int:
        return len(self._kept)


@dataclass(frozen=True)
class GatherTable:
    """For every row of the output, the row of the input that meets it under each offset.

    sources (K,R) int32: rows of the input, -1 where there is none. The centre's are listed.
    rows (R,) int32: the row of the output to which each column of `sources` belongs. Rows that have the same
    offsets are neighbours, so that a tile of them can leave out the offsets that none of them has.
    """

    sources: Tensor
    rows: Tensor


def make_gather_table(pairs: KernelMap) -> GatherTable:
    """The table of a map, on the map's device."""
    rows = len(pairs.by_target.offsets) - 1
    offset = _offset_of_each_pair(pairs)
    sources = pairs.source.new_full((len(pairs.counts), rows), -1)
    sources.view(-1).scatter_(0, offset * rows + pairs.target, pairs.source)
    if pairs.centre is not None:
        sources[pairs.centre] = torch.arange(rows, dtype=sources.dtype, device=sources.device)
    # One bit per offset. A row meets an offset once at most, so a sum of bits is their union.
    occupied = offset.new_zeros(rows).index_add_(0, pairs.target, torch.ones_like(offset) << offset)
    order = occupied.sort(stable=True).indices
    return GatherTable(sources.index_select(1, order), order.int())


def first_pairs(pairs: KernelMap) -> Tensor:
    """The first pair of each offset and, as the last, P: (K+1,) int32 on the map's device."""
    starts = list(itertools.accumulate(pairs.counts, initial=0))
    return on_device(starts, torch.int32, pairs.source.device)


def on_device(numbers: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Numbers of the host as a tensor on `device`. The host does not wait for the copy."""
    here = torch.tensor(numbers, dtype=dtype)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here.to(device)


def _offset_of_each_pair(pairs: KernelMap) -> Tensor:
    """The kernel offset of each pair, (P,) int64."""
    device = pairs.source.device
    offsets, counts = (
        torch.arange(len(pairs.counts), device=device),
        on_device(pairs.counts, torch.int64, device),
    )
    # Without the size of the result, repeat_interleave would wait for the device to know it.
    return offsets.repeat_interleave(counts, output_size=len(pairs.source))
