"""The reference operations against PyTorch's dense convolutions on the same cells."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.errors import UnknownName
from lass3d_core.sparse import load
from lass3d_core.sparse.maps import KernelMap, KernelPyramid, build_pyramid
from lass3d_core.sparse.reference import StridedConv, SubmanifoldConv, TransposedConv

SPAN = 6
LOW = -2
"""Cells run from LOW to LOW + SPAN - 1; both are even: dense stride-2 cells then are the parents."""

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
OPERATIONS = (SubmanifoldConv, StridedConv, TransposedConv)


def random_pyramid(seed: int, count: int, batches: int = 2, levels: int = 2) -> KernelPyramid:
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(batches * SPAN**3, generator=generator)[:count]
    coords = torch.stack(torch.unravel_index(chosen, (batches, SPAN, SPAN, SPAN)), dim=1).int()
    coords[:, 1:] += LOW
    return build_pyramid(coords, levels)


def sides(operation: type[nn.Module], pyramid: KernelPyramid) -> tuple[KernelMap, Tensor, Tensor]:
    """The map that the operation takes and the coordinates (M,4) of its input and output."""
    fine, coarse = pyramid.coords[:2]
    if operation is SubmanifoldConv:
        return pyramid.submanifold[0], fine, fine
    return (pyramid.stride[0], *((fine, coarse) if operation is StridedConv else (coarse, fine)))


def dense_twin(operation: type[nn.Module]) -> Callable[[Tensor, Tensor], Tensor]:
    """The same operation on a dense (B,cin,X,Y,Z) grid, with the weight (K,cin,cout)."""
    kernel = 3 if operation is SubmanifoldConv else 2

    def convolve(grid: Tensor, weight: Tensor) -> Tensor:
        _, cin, cout = weight.shape
        if operation is TransposedConv:
            filters = weight.permute(1, 2, 0).reshape(cin, cout, kernel, kernel, kernel)
            return nn.functional.conv_transpose3d(grid, filters, stride=2)
        filters = weight.permute(2, 1, 0).reshape(cout, cin, kernel, kernel, kernel)
        if operation is StridedConv:
            return nn.functional.conv3d(grid, filters, stride=2)
        return nn.functional.conv3d(grid, filters, padding=1)

    return convolve


def cells(coords: Tensor, low: int) -> tuple[Tensor, ...]:
    batch, x, y, z = coords.long().unbind(1)
    return batch, x - low, y - low, z - low


def through_grid(operation: type[nn.Module], pyramid: KernelPyramid, x: Tensor, weight: Tensor) -> Tensor:
    """What the dense convolution gives on the output's voxels, computed from nothing but coordinates."""
    _, inputs, outputs = sides(operation, pyramid)
    coarse_in, coarse_out = operation is TransposedConv, operation is StridedConv
    size = SPAN // 2 if coarse_in else SPAN
    grid = x.new_zeros(2, size, size, size, x.shape[1])
    grid = grid.index_put(cells(inputs, LOW // 2 if coarse_in else LOW), x)
    dense = dense_twin(operation)(grid.permute(0, 4, 1, 2, 3), weight).permute(0, 2, 3, 4, 1)
    return dense[cells(outputs, LOW // 2 if coarse_out else LOW)]


def values_and_gradients(result: Tensor, x: Tensor, weight: Tensor, seed: int) -> list[Tensor]:
    upstream = torch.randn(result.shape, generator=torch.Generator().manual_seed(seed), dtype=result.dtype)
    return [result, *torch.autograd.grad(result, (x, weight), upstream)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("count", [1, 30, 150, 2 * SPAN**3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_equals_the_dense_one(operation: type[nn.Module], count: int, dtype: torch.dtype) -> None:
    pyramid = random_pyramid(count, count)
    pairs, inputs, _ = sides(operation, pyramid)
    layer = operation(5, 7).to(dtype)
    x = torch.randn(len(inputs), 5, dtype=dtype, requires_grad=True)
    ours = values_and_gradients(layer(x, pairs), x, layer.weight, seed=1)
    dense = values_and_gradients(through_grid(operation, pyramid, x, layer.weight), x, layer.weight, seed=1)
    for found, expected in zip(ours, dense, strict=True):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype] * scale)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_equal_finite_differences(operation: type[nn.Module]) -> None:
    pairs, inputs, _ = sides(operation, random_pyramid(2, 12, batches=1))
    layer = operation(2, 3).double()
    x = torch.randn(len(inputs), 2, dtype=torch.float64, requires_grad=True)

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (x, pairs))

    assert torch.autograd.gradcheck(convolve, (x, layer.weight.detach().requires_grad_()))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_voxels_give_no_rows_and_a_zero_gradient(operation: type[nn.Module]) -> None:
    pairs, _, _ = sides(operation, build_pyramid(torch.empty(0, 4, dtype=torch.int32), 2))
    layer = operation(3, 4)
    x = torch.empty(0, 3, requires_grad=True)
    result = layer(x, pairs)
    result.sum().backward()
    assert result.shape == (0, 4)
    assert x.grad is not None and x.grad.shape == (0, 3)
    assert layer.weight.grad is not None and not layer.weight.grad.any()


def test_a_lone_voxel_sees_only_the_centre() -> None:
    pyramid = build_pyramid(torch.tensor([[0, -7, 3, 0]], dtype=torch.int32), 1)
    layer, x = SubmanifoldConv(3, 4), torch.randn(1, 3)
    torch.testing.assert_close(layer(x, pyramid.submanifold[0]), x @ layer.weight[13])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_scan_gives_the_same_alone_and_in_a_batch(operation: type[nn.Module]) -> None:
    pyramid = random_pyramid(4, 120)
    pairs, inputs, outputs = sides(operation, pyramid)
    layer, x = operation(4, 4).double(), torch.randn(len(inputs), 4, dtype=torch.float64)
    together = layer(x, pairs)
    for batch in range(2):
        alone = build_pyramid(pyramid.coords[0][pyramid.coords[0][:, 0] == batch], 2)
        alone_pairs, _, _ = sides(operation, alone)
        torch.testing.assert_close(
            layer(x[inputs[:, 0] == batch], alone_pairs), together[outputs[:, 0] == batch], rtol=0, atol=1e-12
        )


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_runs_agree_to_the_last_bit(operation: type[nn.Module]) -> None:
    pairs, inputs, _ = sides(operation, random_pyramid(6, 300))
    layer = operation(16, 24)
    x = torch.randn(len(inputs), 16, requires_grad=True)
    first, second = (values_and_gradients(layer(x, pairs), x, layer.weight, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_autocast_computes_in_bfloat16_and_keeps_float32_gradients(operation: type[nn.Module]) -> None:
    pairs, inputs, _ = sides(operation, random_pyramid(7, 200))
    layer = operation(8, 8)
    x = torch.randn(len(inputs), 8, requires_grad=True)
    exact = layer(x, pairs)
    exact_gradients = torch.autograd.grad(exact.square().mean(), (x, layer.weight))
    with torch.autocast("cpu", torch.bfloat16):
        rough = layer(x, pairs)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.03, atol=0.03 * float(exact.detach().std()))
    for found, expected in zip(
        torch.autograd.grad(rough.float().square().mean(), (x, layer.weight)), exact_gradients
    ):
        assert found.dtype == torch.float32
        assert float((found - expected).norm() / expected.norm()) < 0.03


def test_input_without_gradient_gets_none() -> None:
    pairs, inputs, _ = sides(SubmanifoldConv, random_pyramid(8, 40))
    layer, x = SubmanifoldConv(3, 4), torch.randn(len(inputs), 3)
    layer(x, pairs).sum().backward()
    assert x.grad is None and layer.weight.grad is not None


def test_upstream_gradient_may_be_strided() -> None:
    pairs, inputs, _ = sides(SubmanifoldConv, random_pyramid(9, 40))
    layer, x = SubmanifoldConv(3, 4), torch.randn(len(inputs), 3, requires_grad=True)
    (expanded,) = torch.autograd.grad(layer(x, pairs).sum(), x)
    (plain,) = torch.autograd.grad((layer(x, pairs) * 1.0).sum(), x)
    assert torch.equal(expanded, plain)


def test_initial_output_has_the_scale_of_its_input_in_a_full_neighbourhood() -> None:
    torch.manual_seed(0)
    pyramid = random_pyramid(10, 2 * SPAN**3)
    pairs, inputs, _ = sides(SubmanifoldConv, pyramid)
    inside = ((inputs[:, 1:] > LOW) & (inputs[:, 1:] < LOW + SPAN - 1)).all(dim=1)
    result = SubmanifoldConv(32, 64)(torch.randn(len(inputs), 32), pairs)[inside]
    assert float(result.detach().var()) == pytest.approx(2.0, rel=0.1)


def test_known_backends_load_and_others_are_named() -> None:
    assert load("reference").SubmanifoldConv is SubmanifoldConv
    with pytest.raises(UnknownName, match="did you mean 'reference'"):
        load("referense")
