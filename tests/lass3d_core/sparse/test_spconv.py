"""What the adapter adds to spconv. test_backends.py compares its results with dense convolutions."""

from __future__ import annotations

import warnings
from types import ModuleType

import pytest
import torch

from lass3d_core.sparse import load_backend
from lass3d_core.sparse.maps import KernelMap, build_pyramid

pytestmark = pytest.mark.filterwarnings("ignore:::(spconv|cumm|pccm|ccimport)")


@pytest.fixture(scope="module")
def spconv() -> ModuleType:
    pytest.importorskip("spconv", reason="spconv is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_backend("spconv")


def a_block() -> KernelMap:
    """The 3x3x3 map of a block of 4 x 4 x 4 voxels."""
    return build_pyramid(torch.cartesian_prod(torch.arange(1), *[torch.arange(4)] * 3).int(), 1).submanifold[
        0
    ]


def test_indices_are_made_once_per_map(spconv: ModuleType) -> None:
    pairs = a_block()
    rows, counts = spconv.indices_of(pairs)
    again, _ = spconv.indices_of(pairs)
    assert rows is again and counts.tolist() == list(pairs.counts)
    first = [list(slot) for slot in rows[:, 0, : pairs.counts[0]]]
    assert first == [list(pairs.source[: pairs.counts[0]]), list(pairs.target[: pairs.counts[0]])]


@pytest.mark.parametrize("allowed", [True, False])
def test_spconv_takes_tf32_as_pytorch_does(spconv: ModuleType, allowed: bool) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = allowed
    try:
        spconv.SubmanifoldConv(2, 2)(torch.randn(64, 2), a_block())
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
    assert spconv.constants.SPCONV_ALLOW_TF32 is allowed


def test_float16_on_a_cpu_is_multiplied_as_float32(spconv: ModuleType) -> None:
    layer, pairs = spconv.SubmanifoldConv(4, 4).half(), a_block()
    x = torch.randn(64, 4, dtype=torch.float16)
    result = layer(x, pairs)
    exact = layer.float()(x.float(), pairs)
    assert result.dtype == torch.float16 and torch.equal(result, exact.half())
