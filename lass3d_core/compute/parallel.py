"""Data-parallel helpers for torchrun. All of them are no-ops in a single process.

Every process sees its own scans of a step. A loss in one process is its share of the mean over the points of
all processes. So losses and gradients are summed over the processes, never averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """The number of this process: 0, 1, ... Number 0 writes the files."""
    return dist.get_rank() if world_size() > 1 else 0


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, the same in each. No gradient flows through it."""
    if world_size() == 1:
        return values
    summed = values.detach().clone()
    dist.all_reduce(summed)
    return summed


def all_reduce_max(values: Tensor) -> Tensor:
    """The greatest of `values` over all processes, element by element, the same in each."""
    if world_size() == 1:
        return values
    greatest = values.detach().clone()
    dist.all_reduce(greatest, dist.ReduceOp.MAX)
    return greatest


def all_reduce_sum_with_grad(values: Tensor) -> Tensor:
    """all_reduce_sum through which gradients flow, to the values of every process."""
    return values if world_size() == 1 else _Sum.apply(values)


def rows_of_all(rows: Tensor) -> Tensor:
    """The rows (N,...) of all processes, in their order, the same in each. No gradient flows through it."""
    if world_size() == 1:
        return rows.detach()
    mine = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    mine[rank()] = len(rows)
    counts = all_reduce_sum(mine).tolist()
    padded = rows.new_zeros(max(counts), *rows.shape[1:])
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts)])


def rows_before(rows: Tensor) -> int:
    """How many rows of `rows_of_all(rows)` come from processes before this one."""
    if world_size() == 1:
        return 0
    mine = torch.zeros(world_size(), dtype=torch.int64, device=rows.device)
    mine[rank()] = len(rows)
    return int(all_reduce_sum(mine)[: rank()].sum())


def all_reduce_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace every gradient by its sum over all processes. A gradient that no process has stays None."""
    if world_size() == 1:
        return
    has = torch.tensor([float(one.grad is not None) for one in parameters], device=parameters[0].device)
    used = [one for one, found in zip(parameters, all_reduce_sum(has).tolist()) if found]
    for one in used:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
    for dtype in dict.fromkeys(one.dtype for one in used):  # one flat buffer per dtype is one message
        gradients = [one.grad for one in used if one.dtype == dtype and one.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(summed.view_as(gradient))


def broadcast_module(module: nn.Module) -> None:
    """Copy the parameters and buffers of process 0 to all processes."""
    if world_size() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), src=0)


def wait_for_all() -> None:
    """Return when every process of the training is here; at once if there is one."""
    if world_size() > 1:
        dist.barrier()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return all_reduce_sum(values)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return all_reduce_sum(gradients[0].contiguous())
