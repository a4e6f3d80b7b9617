from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lass3d_core.compute.launches import KernelCount

X = torch.tensor([[3.0, 0.0], [1.0, 2.0]])


def in_all(call: Callable[[Tensor], object]) -> tuple[int, int]:
    """Launches and synchronisations of `call`."""
    with KernelCount() as count:
        call(X)
    return count.launches, count.synchronisations


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.view(4)[1:].unsqueeze(0).t(),
        lambda x: x.detach(),
        lambda x: x.new_empty(5),
        lambda x: torch.empty_like(x),
        lambda x: x.split(1),
        lambda x: x.unbind(0),
        lambda x: x.reshape(4),
        lambda x: x.as_strided((2,), (1,)),
        lambda x: len(x) + x.numel(),
    ],
)
def test_views_and_allocations_are_no_launches(call: Callable[[Tensor], object]) -> None:
    assert in_all(call) == (0, 0)


@pytest.mark.parametrize(
    "call, launches",
    [
        (lambda x: x @ x, 1),
        (lambda x: x + 1, 1),
        (lambda x: (x + 1).mul_(2), 2),
        (lambda x: x.t().reshape(4), 1),  # it has to be copied
        (lambda x: torch.cat([x, x]), 1),
        (lambda x: x.index_select(0, torch.tensor([1])), 1),
        (lambda x: x[torch.tensor([1])], 1),
        (lambda x: torch.zeros(3), 1),
        (lambda x: torch._foreach_add([x, x, x], 1.0), 1),
    ],
)
def test_what_writes_is_a_launch(call: Callable[[Tensor], object], launches: int) -> None:
    assert in_all(call) == (launches, 0)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.tolist(),
        lambda x: x.numpy(),
        lambda x: x.cpu(),
        lambda x: x[0, 0].item(),
        lambda x: float(x[0, 0]),
        lambda x: bool(x[0, 0]),
        lambda x: x.nonzero(),
        lambda x: x[torch.tensor([True, False])],
        lambda x: x.index_put((torch.tensor([True, False]),), torch.tensor(1.0)),
        lambda x: x.masked_select(torch.tensor([True, False])),
        lambda x: x.repeat_interleave(torch.tensor([1, 2]), dim=0),
        lambda x: torch.bincount(torch.tensor([1, 2])),
        lambda x: x.unique(),
        lambda x: torch.tensor([1.0], device="cpu"),
    ],
)
def test_what_the_host_waits_for_is_a_synchronisation(call: Callable[[Tensor], object]) -> None:
    assert in_all(call)[1] == 1


def test_a_known_size_is_waited_for_by_nobody() -> None:
    repeats = torch.tensor([1, 2])
    assert in_all(lambda x: x.repeat_interleave(repeats, dim=0, output_size=3))[1] == 0


def test_backward_passes_are_counted() -> None:
    x = X.clone().requires_grad_()
    with KernelCount() as count:
        (x * x).sum().backward()
    assert count.launches_of["mul"] == 3  # one forward, two in the gradient


def test_after_the_block_nothing_is_counted() -> None:
    with KernelCount() as count:
        pass
    (X + X).tolist()
    assert (count.launches, count.synchronisations) == (0, 0)
