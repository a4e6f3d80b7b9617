from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lass3d_core.compute.launches import KernelCount

X = torch.tensor([[3.0, 0.0], [1.0, 2.0]])


def launches(call: Callable[[Tensor], object]) -> int:
    """The launches of `call`."""
    with KernelCount() as count:
        call(X)
    return count.launches


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
    assert launches(call) == 0


@pytest.mark.parametrize(
    "call, expected",
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
def test_what_writes_is_a_launch(call: Callable[[Tensor], object], expected: int) -> None:
    assert launches(call) == expected


def test_backward_passes_are_counted() -> None:
    x = X.clone().requires_grad_()
    with KernelCount() as count:
        (x * x).sum().backward()
    assert count.launches_of["mul"] == 3  # one forward, two in the gradient


def test_after_the_block_nothing_is_counted() -> None:
    with KernelCount() as count:
        pass
    (X + X).tolist()
    assert count.launches == 0
