"""Several processes that train one network as one (torchrun). A single process finds everything unchanged.

Every process sees its own scans of a step. Its losses are its *share* of a mean over the points of all
processes, so shares and gradients are added up, never averaged, and a process with few points weighs little.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, 0, 1, ...; number 0 writes the files."""
    return dist.get_rank() if world_size() > 1 else 0


def all_reduce_sum(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, the same everywhere; no gradient flows through it."""
    if world_size() == 1:
        return values
    summed = values.detach().clone()
    dist.all_reduce(summed)
    return summed


def all_reduce_sum_with_grad(values: Tensor) -> Tensor:
    """The same, with the gradient: what any process derives from the sum reaches the values of each."""
    summed: Tensor = values if world_size() == 1 else _Sum.apply(values)
    return summed


def rows_of_all(rows: Tensor) -> Tensor:
    """The rows (N,...) of every process, one process after another, the same everywhere; without gradient."""
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


def distinct_rows_of_all(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct rows (K,D) of every process, and which of them each of rows (N,D) here is, (N,) int64."""
    of_all = rows_of_all(rows)
    distinct, number = torch.cat([of_all, rows.detach()]).unique(dim=0, return_inverse=True)
    return distinct, number[len(of_all) :]


def any_of(value: bool, device: torch.device) -> bool:
    """Whether it holds in some process."""
    return bool(all_reduce_sum(torch.tensor(float(value), device=device)) > 0)


def all_reduce_gradients(parameters: Sequence[Tensor]) -> None:
    """Every process's gradients become the sum over all; one that no process has stays None.

    They travel in one flat buffer per dtype.
    """
    if world_size() == 1:
        return
    has = torch.tensor([float(one.grad is not None) for one in parameters], device=parameters[0].device)
    used = [one for one, found in zip(parameters, all_reduce_sum(has).tolist()) if found]
    for one in used:
        if one.grad is None:
            one.grad = torch.zeros_like(one)
    for dtype in dict.fromkeys(one.dtype for one in used):
        gradients = [one.grad for one in used if one.dtype == dtype and one.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for gradient, summed in zip(gradients, flat.split([gradient.numel() for gradient in gradients])):
            gradient.copy_(summed.view_as(gradient))


def broadcast_module(module: nn.Module) -> None:
    """Give every process the parameters and buffers of process 0."""
    if world_size() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            dist.broadcast(tensor.detach(), src=0)


def wait_for_all() -> None:
    """Until every process has come here."""
    if world_size() > 1:
        dist.barrier()


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        return all_reduce_sum(values)

    @staticmethod
    def backward(context: Any, *gradients: Any) -> Any:
        return all_reduce_sum(gradients[0].contiguous())
