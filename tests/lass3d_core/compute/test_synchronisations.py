from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lass3d_core.compute.synchronisations import counted_synchronisations

ROWS = torch.tensor([2.0, -1.0, 3.0])
MASK, PLACES = ROWS > 0, torch.tensor([0, 2])
CPU = torch.device("cpu")


def counts(what: Callable[[], object]) -> dict[str, int]:
    with counted_synchronisations() as found:
        what()
    return {place.rpartition(" ")[2]: number for place, number in found.items()}


@pytest.mark.parametrize(
    ("what", "name"),
    [
        (lambda: float(ROWS.sum()), "_local_scalar_dense"),
        (lambda: 1 if MASK.any() else 0, "_local_scalar_dense"),
        (lambda: MASK.nonzero(), "nonzero"),
        (lambda: torch.where(MASK), "nonzero"),
        (lambda: ROWS[MASK], "index"),
        (lambda: torch.zeros(3).index_put_((MASK,), torch.ones(2)), "index_put_"),
        (lambda: ROWS.masked_select(MASK), "masked_select"),
        (lambda: PLACES.unique(), "_unique2"),
        (lambda: PLACES.bincount(), "bincount"),
        (lambda: torch.equal(PLACES, PLACES), "equal"),
        (lambda: PLACES.repeat_interleave(PLACES), "repeat_interleave"),
        (lambda: PLACES.tolist(), "tolist"),
        (lambda: PLACES.numpy(), "numpy"),
        (lambda: PLACES.cpu(), "cpu"),
        (lambda: torch.tensor([1], device=CPU), "tensor"),
        (lambda: PLACES.new_tensor([1]), "new_tensor"),
        (lambda: PLACES.to(CPU), "to"),
    ],
)
def test_what_waits_for_a_gpu_is_counted_once(what: Callable[[], object], name: str) -> None:
    assert counts(what) == {name: 1}


@pytest.mark.parametrize(
    "what",
    [
        lambda: ROWS[PLACES] + ROWS[1:],
        lambda: ROWS.masked_fill(MASK, 0) * torch.where(MASK, 0.5, 2.0),
        lambda: torch.tensor([1, 2]),
        lambda: PLACES.to(CPU, non_blocking=True),
        lambda: PLACES.to(torch.float64),
        lambda: PLACES.repeat_interleave(PLACES, output_size=2),
        lambda: ROWS.sort(),
        lambda: ROWS.new_full((), 3.0),
        lambda: len(PLACES),
    ],
)
def test_what_a_gpu_does_by_itself_is_not_counted(what: Callable[[], object]) -> None:
    assert counts(what) == {}


def test_the_backward_pass_is_counted_too() -> None:
    class Reader(torch.autograd.Function):
        @staticmethod
        def forward(context: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(context: object, grad: Tensor) -> Tensor:
            return grad * float(grad.sum())

    assert counts(lambda: Reader.apply(ROWS.clone().requires_grad_()).sum().backward()) == {
        "_local_scalar_dense": 1
    }


def test_the_place_is_the_file_that_asks() -> None:
    with counted_synchronisations() as found:
        float(ROWS.sum())
        float(ROWS.sum())
    assert found == {"tests/lass3d_core/compute/test_synchronisations.py _local_scalar_dense": 2}
