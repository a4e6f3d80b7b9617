from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from lass3d_core.compute.launches import KernelCount
from lass3d_core.compute.synchronisations import counted_synchronisations
from lass3d_core.sparse.large_products import outer_products_of, products_of
from lass3d_core.sparse.maps import KernelMap, build_pyramid
from lass3d_core.sparse.reference import SubmanifoldConv, as_on_a_gpu

CELLS = torch.cartesian_prod(torch.arange(2), *[torch.arange(3)] * 3).int()[::2]
CUBE = torch.cartesian_prod(torch.arange(1), *[torch.arange(3)] * 3).int()
TWO = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.int32)
MAPS = {
    "submanifold": build_pyramid(CELLS, 2).submanifold[0],
    "stride": build_pyramid(CELLS, 2).stride[0],
    "with empty offsets": build_pyramid(TWO, 1).submanifold[0],
    "no pairs": build_pyramid(CELLS[:1], 1).submanifold[0],
}
both_kinds = pytest.mark.parametrize("name", MAPS)
types = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
widths = pytest.mark.parametrize("width", [(8, 16), (4, 3), (1, 1)])


def by_offset(pairs: KernelMap) -> Iterator[tuple[int, slice]]:
    """Each offset and the place of its pairs."""
    for offset, (start, end) in enumerate(itertools.pairwise([0, *pairs.ends.tolist()])):
        yield offset, slice(start, end)


def rows_for(pairs: KernelMap, width: int, dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randn(len(pairs.source), width, generator=torch.Generator().manual_seed(seed)).to(dtype)


def tolerance(dtype: torch.dtype) -> float:
    return {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 6e-2}[dtype]


@both_kinds
@types
@widths
def test_every_pair_is_multiplied_by_its_offsets_matrix(
    name: str, dtype: torch.dtype, width: tuple[int, int]
) -> None:
    pairs, (cin, cout) = MAPS[name], width
    rows = rows_for(pairs, cin, dtype, 0)
    weight = torch.randn(len(pairs.counts), cin, cout).to(dtype)
    found = products_of(rows, weight, pairs)
    assert found.dtype == dtype and found.shape == (len(rows), cout)
    for offset, place in by_offset(pairs):
        exact = rows[place].float() @ weight[offset].float()
        torch.testing.assert_close(found[place].float(), exact, rtol=tolerance(dtype), atol=tolerance(dtype))


@both_kinds
@types
@widths
def test_outer_products_are_summed_by_offset(name: str, dtype: torch.dtype, width: tuple[int, int]) -> None:
    pairs, (cin, cout) = MAPS[name], width
    rows, grads = rows_for(pairs, cin, dtype, 0), rows_for(pairs, cout, dtype, 1)
    found = outer_products_of(rows, grads, pairs)
    assert found.dtype == dtype and found.shape == (len(pairs.counts), cin, cout)
    for offset, place in by_offset(pairs):
        exact = rows[place].float().t() @ grads[place].float()
        torch.testing.assert_close(found[offset].float(), exact, rtol=tolerance(dtype), atol=tolerance(dtype))


@pytest.mark.parametrize(
    "dtype, forward, backward", [(torch.bfloat16, 4, 7), (torch.float32, 16, 32)], ids=["grouped", "by two"]
)
def test_a_convolution_takes_few_launches(dtype: torch.dtype, forward: int, backward: int) -> None:
    pairs = build_pyramid(CUBE, 1).submanifold[0]
    layer, x = SubmanifoldConv(8, 16).to(dtype), torch.randn(27, 8, dtype=dtype, requires_grad=True)
    upstream = torch.ones(27, 16, dtype=dtype)
    with as_on_a_gpu():
        with KernelCount() as there:
            result = layer(x, pairs)
        with KernelCount() as back:
            torch.autograd.grad(result, (x, layer.weight), upstream)
        with counted_synchronisations() as places:
            torch.autograd.grad(layer(x, pairs), (x, layer.weight), upstream)
    assert (there.launches, back.launches) == (forward, backward)
    assert not places


def test_sums_of_bfloat16_are_float32_inside() -> None:
    pairs = build_pyramid(CUBE, 1).submanifold[0]
    layer = SubmanifoldConv(8, 8).to(torch.bfloat16)
    torch.nn.init.constant_(layer.weight, 1 / 8)
    x = torch.ones(27, 8, dtype=torch.bfloat16)
    x[0] = 256
    with as_on_a_gpu(), torch.no_grad():
        middle = layer(x, pairs)[13]
    # 256 + 26 * 1. Numbers of bfloat16 lie 2 apart there, so that a running sum in it would stay at 256.
    assert ((middle.float() - 282).abs() <= 2).all()
