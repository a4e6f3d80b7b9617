"""The kernels in Triton. Where there is no GPU, Triton's interpreter runs them on the CPU.

Beside these tests, those of test_backends.py compare the kernels with dense convolutions.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from packaging.version import Version
from torch import Tensor, nn

from lass3d_core.errors import BackendUnavailable
from lass3d_core.sparse import load_backend
from lass3d_core.sparse.maps import KernelMap, build_pyramid
from lass3d_core.sparse.reference import SparseProduct, SubmanifoldConv
from tests.lass3d_core.sparse.test_backends import OPERATIONS, random_pyramid, sides

ROOT = Path(__file__).parents[3]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cuda" if torch.cuda.is_available() and not INTERPRETED else "cpu"

installed = Version(importlib.metadata.version("triton")) if importlib.util.find_spec("triton") else None
needs_triton = pytest.mark.skipif(installed is None, reason="triton is not installed")
needs_kernels = [
    needs_triton,
    pytest.mark.skipif(
        DEVICE == "cpu" and not INTERPRETED, reason="the interpreter runs this in a process of its own"
    ),
]


@pytest.fixture
def gemm() -> ModuleType:
    return load_backend("triton")


def exact(x: Tensor, weight: Tensor, pairs: KernelMap, upstream: Tensor) -> list[Tensor]:
    """Result and both gradients in float64, by the reference, on the CPU."""
    x, weight = (tensor.detach().cpu().double().requires_grad_() for tensor in (x, weight))
    result = SparseProduct.apply(x, weight, pairs)
    return [result.detach(), *torch.autograd.grad(result, (x, weight), upstream.cpu().double())]


def errors_of(
    gemm: ModuleType, operation: type[nn.Module], dtype: torch.dtype, cin: int, cout: int
) -> list[float]:
    """The largest error of result and gradients, relative to the largest value. The inputs are of `dtype`."""
    torch.manual_seed(0)
    pyramid = random_pyramid(0, 80)
    pairs, inputs, outputs = sides(operation, pyramid)
    there, _, _ = sides(operation, pyramid.to(DEVICE))
    layer = getattr(gemm, operation.__name__)(cin, cout).to(DEVICE, dtype)
    x = torch.randn(len(inputs), cin, device=DEVICE, dtype=dtype, requires_grad=True)
    upstream = torch.randn(len(outputs), cout, device=DEVICE, dtype=dtype)
    result = layer(x, there)
    found = [result, *torch.autograd.grad(result, (x, layer.weight), upstream)]
    assert {tensor.dtype for tensor in found} == {dtype}
    mirrored = pairs.transposed() if operation.__name__ == "TransposedConv" else pairs
    wanted = exact(x, layer.weight, mirrored, upstream)
    return [float((a.detach().cpu() - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted)]


@pytest.mark.parametrize("operation", OPERATIONS)
class TestKernels:
    pytestmark = needs_kernels

    @pytest.mark.parametrize(
        ("dtype", "tolerance"),
        [(torch.float32, 3e-6), (torch.float16, 2**-10), (torch.bfloat16, 2**-7)],
        ids=["float32", "float16", "bfloat16"],
    )
    def test_only_the_result_is_rounded(
        self, gemm: ModuleType, operation: type[nn.Module], dtype: torch.dtype, tolerance: float
    ) -> None:
        assert max(errors_of(gemm, operation, dtype, 20, 33)) < tolerance

    def test_more_channels_than_a_tile(self, gemm: ModuleType, operation: type[nn.Module]) -> None:
        assert max(errors_of(gemm, operation, torch.float32, 70, 66)) < 3e-6


class TestEdges:
    pytestmark = needs_kernels

    def test_gradient_in_pieces_equals_that_in_one(
        self, gemm: ModuleType, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pairs = random_pyramid(1, 120).to(DEVICE).submanifold[0]
        x, grad = torch.randn(120, 6, device=DEVICE), torch.randn(120, 5, device=DEVICE)
        whole = gemm.gradient_of_weight(x, grad, pairs)
        monkeypatch.setattr(gemm, "_LONGEST", 20)
        in_six = gemm.gradient_of_weight(x, grad, pairs)
        monkeypatch.setattr(gemm, "_PARTIAL_SUMS", 2 * 27 * 6 * 5)
        in_two = gemm.gradient_of_weight(x, grad, pairs)
        assert not torch.equal(whole, in_six) and not torch.equal(in_six, in_two)  # sums of another order
        for pieces in (in_six, in_two):
            torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-4)

    def test_offset_without_pairs_has_a_gradient_of_zero(self, gemm: ModuleType) -> None:
        line = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]], dtype=torch.int32)
        pairs = build_pyramid(line, 1).to(DEVICE).submanifold[0]
        layer, x = gemm.SubmanifoldConv(3, 4).to(DEVICE), torch.ones(2, 3, device=DEVICE)
        layer(x, pairs).sum().backward()
        sums = layer.weight.grad.sum(dim=(1, 2)).tolist()
        assert {k: total for k, total in enumerate(sums) if total} == {12: 12.0, 13: 24.0, 14: 12.0}

    def test_two_runs_agree_to_the_last_bit(self, gemm: ModuleType) -> None:
        pairs = random_pyramid(2, 70).to(DEVICE).submanifold[0]
        layer = gemm.SubmanifoldConv(6, 5).to(DEVICE)
        x = torch.randn(70, 6, device=DEVICE, requires_grad=True)
        runs = [layer(x, pairs) for _ in range(2)]
        slopes = [torch.autograd.grad(run.square().sum(), (x, layer.weight)) for run in runs]
        assert torch.equal(*runs) and all(map(torch.equal, *slopes))

    @pytest.mark.parametrize("frozen", ["x", "weight"])
    def test_one_gradient_alone_equals_that_of_both(self, gemm: ModuleType, frozen: str) -> None:
        pairs = random_pyramid(3, 60).to(DEVICE).submanifold[0]
        layer, x = gemm.SubmanifoldConv(4, 6).to(DEVICE), torch.randn(60, 4, device=DEVICE).requires_grad_()
        grad_x, grad_weight = torch.autograd.grad(layer(x, pairs).square().sum(), (x, layer.weight))
        (x if frozen == "x" else layer.weight).requires_grad_(False)
        wanted, expected = (layer.weight, grad_weight) if frozen == "x" else (x, grad_x)
        (found,) = torch.autograd.grad(layer(x, pairs).square().sum(), wanted)
        assert torch.equal(found, expected)

    def test_strided_input_and_strided_gradient_are_read_right(self, gemm: ModuleType) -> None:
        pairs = random_pyramid(4, 40).to(DEVICE).submanifold[0]
        layer, wide = gemm.SubmanifoldConv(3, 4).to(DEVICE), torch.randn(40, 6, device=DEVICE)
        strided, plain = (x.detach().requires_grad_() for x in (wide[:, ::2], wide[:, ::2].contiguous()))
        (expanded,) = torch.autograd.grad(layer(strided, pairs).sum(), strided)
        (ones,) = torch.autograd.grad((layer(plain, pairs) * 1.0).sum(), plain)
        assert torch.equal(layer(strided, pairs), layer(plain, pairs)) and torch.equal(expanded, ones)

    def test_float64_is_refused_in_one_line(self, gemm: ModuleType) -> None:
        pairs = random_pyramid(5, 10).to(DEVICE).submanifold[0]
        layer = gemm.SubmanifoldConv(3, 4).to(DEVICE).double()
        with pytest.raises(BackendUnavailable, match=r"no float64; use float32.*reference"):
            layer(torch.randn(10, 3, device=DEVICE).double(), pairs)

    def test_autocast_keeps_float32_gradients(self, gemm: ModuleType) -> None:
        pairs = random_pyramid(6, 60).to(DEVICE).submanifold[0]
        layer, x = gemm.SubmanifoldConv(8, 8).to(DEVICE), torch.randn(60, 8, device=DEVICE).requires_grad_()
        wanted = torch.autograd.grad(layer(x, pairs).square().mean(), (x, layer.weight))
        with torch.autocast(DEVICE, torch.bfloat16):
            rough = layer(x, pairs)
        assert rough.dtype == torch.bfloat16
        for found, expected in zip(
            torch.autograd.grad(rough.float().square().mean(), (x, layer.weight)), wanted
        ):
            assert found.dtype == torch.float32
            assert float((found - expected).norm() / expected.norm()) < 0.03


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter")
@pytest.mark.skipif(
    installed is not None and installed < Version("3.9"),
    reason="an older interpreter may not fit today's NumPy: that of 3.2 does not",
)
def test_kernels_pass_through_the_interpreter() -> None:
    here = "tests/lass3d_core/sparse"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{here}/test_backends.py"]
    chosen = [f"{here}/test_implicit_gemm.py", "-k", "triton-cpu or TestKernels or TestEdges"]
    environment = {**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""}
    run = subprocess.run(
        [*command, *chosen], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout and "skipped" not in run.stdout


COMPILED = """
import torch, triton
from triton.backends.compiler import GPUTarget

torch.cuda.is_available = lambda: True  # so that the backend can be imported
from lass3d_core.sparse import implicit_gemm as gemm
from lass3d_core.sparse.maps import build_pyramid

class Driver:  # of a GPU that is not there: enough of one to compile for it
    def __init__(self, capability):
        self.capability = capability

    def get_current_target(self):
        return GPUTarget("cuda", self.capability, 32)

    def get_current_device(self):
        return self.capability

    def get_current_stream(self, device):
        return 0

def compile_only(self, *tensors, grid, warmup, **constants):
    compiled.append(run(self, *tensors, grid=grid, warmup=True, **constants).asm)

def kernels_of_a_step(dtype, rows):
    compiled.clear()
    cells = torch.cartesian_prod(torch.arange(1), *[torch.arange(5)] * 3)[:rows]
    layer = gemm.SubmanifoldConv(5, 96).to(dtype)
    x = torch.randn(rows, 5, dtype=dtype, requires_grad=True)
    layer(x, build_pyramid(cells.int(), 1).submanifold[0]).sum().backward()
    return [asm["cubin"] for asm in compiled], ["mma" in asm["ptx"] for asm in compiled]

run, triton.JITFunction.run, compiled = triton.JITFunction.run, compile_only, []
gemm._fused = lambda x: True  # tensors on the CPU take the way of those on a GPU, as far as the launch
for capability in (80, 90):
    triton.runtime.driver.set_active(Driver(capability))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        code, on_tensor_cores = kernels_of_a_step(dtype, 100)
        assert len(code) == 3 and all(code), (dtype, capability)
        assert on_tensor_cores == [dtype != torch.float32] * 3, (dtype, capability)
        again, _ = kernels_of_a_step(dtype, 96)
        assert all(a is b for a, b in zip(code, again)), "another number of rows compiled another kernel"
print("compiled")
"""


@needs_triton
@pytest.mark.skipif(INTERPRETED, reason="the interpreter compiles nothing")
@pytest.mark.slow
def test_a_step_compiles_to_machine_code_with_half_precision_on_tensor_cores(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", COMPILED],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "compiled\n", run.stderr[-3000:]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package triton that can be imported and computes nothing, as it is where there is no GPU."""

    class JITFunction:
        def __init__(self, function: object) -> None:
            self.function = function

    package = ModuleType("triton")
    language = ModuleType("triton.language")
    vars(package).update(jit=lambda **_: JITFunction, JITFunction=JITFunction, language=language)
    monkeypatch.setitem(sys.modules, "triton", package)
    monkeypatch.setitem(sys.modules, "triton.language", language)
    # Set before it is deleted, so that the module of the stub is taken out afterwards.
    monkeypatch.setitem(sys.modules, "lass3d_core.sparse.implicit_gemm", package)
    del sys.modules["lass3d_core.sparse.implicit_gemm"]


@pytest.mark.usefixtures("stub")
def test_without_a_gpu_the_backend_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BackendUnavailable, match=r"^the backend triton needs a GPU.*choose the backend ref"):
        load_backend("triton")


@pytest.mark.usefixtures("stub")
def test_beside_a_gpu_the_reference_computes_what_is_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    gemm = load_backend("triton")
    pairs, x = random_pyramid(7, 50).submanifold[0], torch.randn(50, 3, requires_grad=True)
    ours, reference = gemm.SubmanifoldConv(3, 4), SubmanifoldConv(3, 4)
    ours.load_state_dict(reference.state_dict())
    assert torch.equal(ours(x, pairs), reference(x, pairs))
    slopes = [
        torch.autograd.grad(layer(x, pairs).square().sum(), (x, layer.weight)) for layer in (ours, reference)
    ]
    assert all(map(torch.equal, *slopes))
