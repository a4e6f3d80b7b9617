from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.compute import parallel
from lass3d_core.nets import batch_norm
from lass3d_core.nets.batch_norm import BatchNorm


@pytest.fixture
def of_two(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Tensor]], list[Tensor]]:
    """Do a piece of work in two threads that sum as two processes that train together do."""
    barrier, given = threading.Barrier(2, timeout=20), {}

    def all_reduce_sum(values: Tensor) -> Tensor:
        given[threading.get_ident()] = values.detach().clone()
        barrier.wait()
        total = sum(given.values())
        barrier.wait()
        return total

    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    monkeypatch.setattr(parallel, "all_reduce_sum", all_reduce_sum)

    def work(part: Callable[[int], Tensor]) -> list[Tensor]:
        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(part, range(2)))

    return work


@pytest.mark.parametrize("affine", [True, False])
def test_a_checkpoint_fits_batch_norm_of_pytorch_in_every_form(affine: bool) -> None:
    """So a run may go on from a CPU to GPUs and back."""
    ours = BatchNorm(3, affine=affine)
    ours(torch.randn(5, 3))
    x = torch.randn(7, 3)
    for form in (nn.BatchNorm1d, nn.SyncBatchNorm, BatchNorm):
        other = form(3, affine=affine)
        assert list(other.state_dict()) == list(ours.state_dict())
        other.load_state_dict(ours.state_dict())
        ours.load_state_dict(other.state_dict())
        torch.testing.assert_close(other.eval()(x), ours.eval()(x), rtol=0, atol=0)
        ours.train()


def test_two_processes_normalise_as_one_that_has_all_voxels(of_two) -> None:
    """Result, running statistics, and the gradients of input, weight and bias."""
    torch.manual_seed(0)
    x, upstream = torch.randn(9, 4, dtype=torch.float64), torch.randn(9, 4, dtype=torch.float64)
    whole, parts = nn.BatchNorm1d(4).double(), [BatchNorm(4).double() for _ in range(2)]
    rows = slice(0, 3), slice(3, 9)
    leaves = [x[own].clone().requires_grad_() for own in rows]

    def part(rank: int) -> Tensor:
        y = parts[rank](leaves[rank])
        (y * upstream[rows[rank]]).sum().backward()
        return y

    found = torch.cat(of_two(part))
    leaf = x.clone().requires_grad_()
    expected = whole(leaf)
    (expected * upstream).sum().backward()
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.cat([one.grad for one in leaves]), leaf.grad)
    for name in ("weight", "bias"):
        total = sum(getattr(one, name).grad for one in parts)
        torch.testing.assert_close(total, getattr(whole, name).grad)
    for one in parts:
        torch.testing.assert_close(one.running_mean, whole.running_mean)
        torch.testing.assert_close(one.running_var, whole.running_var)


def test_one_voxel_in_each_of_two_processes_is_normalised_over_both(of_two) -> None:
    x = torch.tensor([[1.0], [3.0]])
    norms = [BatchNorm(1) for _ in range(2)]
    found = torch.cat(of_two(lambda rank: norms[rank](x[rank : rank + 1])))
    torch.testing.assert_close(found, torch.tensor([[-1.0], [1.0]]), atol=1e-4, rtol=0)


def test_one_voxel_in_all_processes_leaves_the_statistics_alone(of_two) -> None:
    x = torch.tensor([[3.0]])
    norms = [BatchNorm(1) for _ in range(2)]
    found = torch.cat(of_two(lambda rank: norms[rank](x[rank:])))
    torch.testing.assert_close(found, x, atol=1e-4, rtol=0)
    assert all(norm.running_mean.item() == 0 and norm.running_var.item() == 1 for norm in norms)


def test_several_processes_on_gpus_take_pytorch_s_sync_batch_norm(monkeypatch) -> None:
    """As far as a CPU can show it: the device decides, and PyTorch's form says that a CPU will not do."""
    monkeypatch.setattr(parallel, "world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(batch_norm, "has_sync_batch_norm", lambda device_type: True)
    with pytest.raises(ValueError, match="SyncBatchNorm expected input tensor to be on GPU"):
        BatchNorm(2)(torch.randn(5, 2))


@pytest.mark.parametrize(("device_type", "is_pytorch_s"), [("cuda", True), ("cpu", False)])
def test_the_device_chooses_the_form(device_type: str, is_pytorch_s: bool) -> None:
    assert batch_norm.has_sync_batch_norm(device_type) == is_pytorch_s


def test_the_first_rows_and_the_rest_are_two_batches() -> None:
    """Result and running statistics are those of PyTorch's batch norm on one after the other."""
    torch.manual_seed(0)
    x = torch.randn(9, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + torch.arange(9).unsqueeze(1)
    ours, theirs = BatchNorm(4), nn.BatchNorm1d(4)
    assert torch.equal(ours(x, 5), torch.cat([theirs(x[:5]), theirs(x[5:])]))
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)
    assert torch.equal(ours.eval()(x, 5), ours(x))


@pytest.mark.parametrize("first", [0, 1, 8, 9])
def test_a_kind_of_one_voxel_or_none_is_normalised_by_the_running_statistics(first: int) -> None:
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    norm, fresh = BatchNorm(2), BatchNorm(2).eval()
    few = slice(0, first) if first < 2 else slice(first, None)
    found = norm(x, first)
    assert found.shape == x.shape and torch.isfinite(found).all()
    before = torch.zeros(2) if first < 2 else norm.running_mean  # the first kind comes first
    spread = torch.ones(2) if first < 2 else norm.running_var
    expected = (x[few] - before) * torch.rsqrt(spread + fresh.eps)
    torch.testing.assert_close(found[few], expected)


def test_two_processes_keep_the_kinds_apart_as_one_does(of_two) -> None:
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    whole, parts = nn.BatchNorm1d(4).double(), [BatchNorm(4).double() for _ in range(2)]
    of_rank = [0, 1, 4, 5, 6], [2, 3, 7, 8]  # the first kind has the rows 0 to 3
    found = of_two(lambda rank: parts[rank](x[of_rank[rank]], 2))
    expected = torch.cat([whole(x[:4]), whole(x[4:])])
    for rows, one in zip(of_rank, found):
        torch.testing.assert_close(one, expected[rows])
    for one in parts:
        torch.testing.assert_close(one.running_mean, whole.running_mean)
        torch.testing.assert_close(one.running_var, whole.running_var)
