"""Every backend that is present against PyTorch's dense convolutions on the same cells."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.errors import BackendUnavailable, UnknownName
from lass3d_core.nets import make_backbone
from lass3d_core.nets.unet import UNetConfig
from lass3d_core.sparse import BACKENDS, load_backend
from lass3d_core.sparse.maps import KernelMap, KernelPyramid, build_pyramid
from lass3d_core.sparse.reference import StridedConv, SubmanifoldConv, TransposedConv, as_on_a_gpu

# What the optional packages say while they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:::(spconv|cumm|pccm|ccimport|torchsparse)")

SPAN = 6
LOW = -2
"""Cells run from LOW to LOW + SPAN - 1; both are even: dense stride-2 cells then are the parents."""

OPERATIONS = (SubmanifoldConv, StridedConv, TransposedConv)


@dataclass(frozen=True)
class Backend:
    """One backend on one device."""

    name: str
    module: ModuleType
    device: str

    def layer(self, operation: type[nn.Module], cin: int, cout: int) -> nn.Module:
        """This backend's layer of the kind that the reference calls `operation`."""
        return getattr(self.module, operation.__name__)(cin, cout).to(self.device)


FORMS = {"in runs": nullcontext, "at once": as_on_a_gpu}
"""How the reference takes the offsets on a CPU: as a CPU does, or as a GPU."""


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> Iterator[None]:
    with FORMS[request.param]():
        yield


@pytest.fixture
def reference_at_once(request: pytest.FixtureRequest) -> Iterator[Backend]:
    with as_on_a_gpu():
        yield Backend("reference", load_backend("reference"), "cpu")


@pytest.fixture(
    params=[*((name, device) for name in BACKENDS for device in ("cpu", "cuda")), ("at once", "cpu")],
    ids="-".join,
)
def backend(request: pytest.FixtureRequest) -> Backend:
    name, device = request.param
    if name == "at once":
        return request.getfixturevalue("reference_at_once")
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no GPU")
    if (name, device) == ("torchsparse", "cpu"):
        pytest.skip("torchsparse needs a GPU")
    if (name, device) == ("triton", "cpu") and not os.environ.get("TRITON_INTERPRET"):
        pytest.skip("test_implicit_gemm.py runs this through Triton's interpreter")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Backend(name, load_backend(name), device)
        except BackendUnavailable as error:
            pytest.skip(str(error))


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


def assert_equals_the_dense_one(
    backend: Backend, operation: type[nn.Module], count: int, cin: int = 5, cout: int = 7
) -> None:
    pyramid = random_pyramid(count, count)
    _, inputs, _ = sides(operation, pyramid)
    pairs, _, _ = sides(operation, pyramid.to(backend.device))
    layer, x = backend.layer(operation, cin, cout), torch.randn(len(inputs), cin, requires_grad=True)
    ours = values_and_gradients(layer(x.to(backend.device), pairs).cpu(), x, layer.weight, seed=1)
    weight = layer.weight.detach().cpu().requires_grad_()
    dense = values_and_gradients(through_grid(operation, pyramid, x, weight), x, weight, seed=1)
    for found, expected in zip(ours, dense, strict=True):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("count", [1, 30, 150, 2 * SPAN**3])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_and_its_gradients_equal_the_dense_ones(
    backend: Backend, operation: type[nn.Module], count: int
) -> None:
    assert_equals_the_dense_one(backend, operation, count)


@pytest.mark.parametrize(("cin", "cout"), [(4, 32), (96, 19)])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_channels_of_a_first_and_of_a_last_layer_equal_the_dense_ones(
    backend: Backend, operation: type[nn.Module], cin: int, cout: int
) -> None:
    assert_equals_the_dense_one(backend, operation, 150, cin, cout)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_voxels_give_no_rows_and_a_zero_gradient(backend: Backend, operation: type[nn.Module]) -> None:
    empty = build_pyramid(torch.empty(0, 4, dtype=torch.int32), 2)
    pairs, _, _ = sides(operation, empty.to(backend.device))
    layer = backend.layer(operation, 3, 4)
    x = torch.empty(0, 3, device=backend.device, requires_grad=True)
    result = layer(x, pairs)
    result.sum().backward()
    assert result.shape == (0, 4)
    assert x.grad is not None and x.grad.shape == (0, 3)
    assert layer.weight.grad is not None and not layer.weight.grad.any()


def test_a_lone_voxel_sees_only_the_centre(backend: Backend) -> None:
    pyramid = build_pyramid(torch.tensor([[0, -7, 3, 0]], dtype=torch.int32), 1).to(backend.device)
    layer, x = backend.layer(SubmanifoldConv, 3, 4), torch.randn(1, 3, device=backend.device)
    torch.testing.assert_close(layer(x, pyramid.submanifold[0]), x @ layer.weight[13])


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_scan_gives_the_same_alone_and_in_a_batch(backend: Backend, operation: type[nn.Module]) -> None:
    pyramid = random_pyramid(4, 120).to(backend.device)
    pairs, inputs, outputs = sides(operation, pyramid)
    layer, x = backend.layer(operation, 4, 4), torch.randn(len(inputs), 4, device=backend.device)
    together = layer(x, pairs)
    for batch in range(2):
        own = pyramid.coords[0][pyramid.coords[0][:, 0] == batch].cpu()
        alone_pairs, _, _ = sides(operation, build_pyramid(own, 2).to(backend.device))
        alone = layer(x[inputs[:, 0] == batch], alone_pairs)
        torch.testing.assert_close(alone, together[outputs[:, 0] == batch], rtol=0, atol=1e-5)


def test_checkpoint_of_the_reference_gives_the_same_network(backend: Backend) -> None:
    torch.manual_seed(0)
    config = UNetConfig(stem=6, encoder=(8, 10), decoder=(9, 7), blocks=1)
    reference = make_backbone(config, in_channels=4).eval()
    other = make_backbone(replace(config, backend=backend.name), in_channels=4).eval()
    other.load_state_dict(reference.state_dict())
    features, pyramid = torch.randn(150, 4), random_pyramid(5, 150, levels=3)
    found = other.to(backend.device)(features.to(backend.device), pyramid.to(backend.device))
    torch.testing.assert_close(found.cpu(), reference(features, pyramid), rtol=1e-4, atol=1e-5)


def test_autocast_of_every_backend_gives_bfloat16_near_the_exact(backend: Backend) -> None:
    pyramid = random_pyramid(7, 200).to(backend.device)
    layer, x = backend.layer(SubmanifoldConv, 8, 8), torch.randn(200, 8, device=backend.device)
    with torch.autocast(backend.device, torch.bfloat16):
        rough = layer(x, pyramid.submanifold[0])
    exact = layer(x, pyramid.submanifold[0])
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), exact, rtol=0.03, atol=0.03 * float(exact.detach().std()))


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("count", [1, 150])
def test_reference_in_double_precision_equals_the_dense_one(operation: type[nn.Module], count: int) -> None:
    pyramid = random_pyramid(count, count)
    pairs, inputs, _ = sides(operation, pyramid)
    layer = operation(5, 7).double()
    x = torch.randn(len(inputs), 5, dtype=torch.float64, requires_grad=True)
    ours = values_and_gradients(layer(x, pairs), x, layer.weight, seed=1)
    dense = values_and_gradients(through_grid(operation, pyramid, x, layer.weight), x, layer.weight, seed=1)
    for found, expected in zip(ours, dense, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_offset_with_more_pairs_than_a_run_equals_the_dense_one() -> None:
    cells = torch.cartesian_prod(torch.arange(2), *[torch.arange(LOW, LOW + SPAN)] * 3).int()
    pyramid = build_pyramid(cells, 2)
    pairs, wide = pyramid.submanifold[0], 512  # 512 channels of float32: runs of 256 pairs
    assert max(pairs.counts) > 256
    layer, x = SubmanifoldConv(wide, 3), torch.randn(len(cells), wide, requires_grad=True)
    ours = values_and_gradients(layer(x, pairs), x, layer.weight, seed=1)
    twin = through_grid(SubmanifoldConv, pyramid, x, layer.weight)
    dense = values_and_gradients(twin, x, layer.weight, seed=1)
    for found, expected in zip(ours, dense, strict=True):
        scale = max(1.0, float(expected.detach().abs().max()))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * scale)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("frozen", ["x", "weight"])
def test_one_gradient_alone_equals_that_of_both(frozen: str) -> None:
    pairs, inputs, _ = sides(SubmanifoldConv, random_pyramid(11, 90))
    layer, x = SubmanifoldConv(4, 6), torch.randn(len(inputs), 4, requires_grad=True)
    grad_x, grad_weight = torch.autograd.grad(layer(x, pairs).square().sum(), (x, layer.weight))
    (x if frozen == "x" else layer.weight).requires_grad_(False)
    wanted, expected = (layer.weight, grad_weight) if frozen == "x" else (x, grad_x)
    (found,) = torch.autograd.grad(layer(x, pairs).square().sum(), wanted)
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_gradients_equal_finite_differences(operation: type[nn.Module]) -> None:
    pairs, inputs, _ = sides(operation, random_pyramid(2, 12, batches=1))
    layer = operation(2, 3).double()
    x = torch.randn(len(inputs), 2, dtype=torch.float64, requires_grad=True)

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight}, (x, pairs))

    assert torch.autograd.gradcheck(convolve, (x, layer.weight.detach().requires_grad_()))


@pytest.mark.usefixtures("form")
@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_runs_agree_to_the_last_bit(operation: type[nn.Module]) -> None:
    pairs, inputs, _ = sides(operation, random_pyramid(6, 300))
    layer = operation(16, 24)
    x = torch.randn(len(inputs), 16, requires_grad=True)
    first, second = (values_and_gradients(layer(x, pairs), x, layer.weight, seed=3) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.usefixtures("form")
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


@pytest.mark.usefixtures("form")
def test_input_without_gradient_gets_none() -> None:
    pairs, inputs, _ = sides(SubmanifoldConv, random_pyramid(8, 40))
    layer, x = SubmanifoldConv(3, 4), torch.randn(len(inputs), 3)
    layer(x, pairs).sum().backward()
    assert x.grad is None and layer.weight.grad is not None


@pytest.mark.usefixtures("form")
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
    assert load_backend("reference").SubmanifoldConv is SubmanifoldConv
    with pytest.raises(UnknownName, match="did you mean 'reference'"):
        load_backend("referense")


@pytest.mark.parametrize("name", [name for name in BACKENDS if name != "reference"])
def test_absent_package_is_named_with_its_remedy(name: str) -> None:
    if importlib.util.find_spec(name) is not None:
        pytest.skip(f"{name} is installed")
    with pytest.raises(BackendUnavailable, match=f"'{name}' cannot be loaded .*choose the backend reference"):
        load_backend(name)
