"""Do the sparse backends compute what dense convolutions in float64 do, and a GPU the maps of a CPU?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType

import torch
from torch import Tensor, nn

from benchmarks.gpu.report import Report
from benchmarks.memory import tensors_in
from lass3d_core.errors import BackendUnavailable
from lass3d_core.sparse import BACKENDS, load_backend
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid, pyramid_of
from lass3d_core.sparse.pairs_on_device import offsets_on_device, pairs_on_device
from lass3d_core.sparse.reference import as_on_a_gpu

OPERATIONS = ("SubmanifoldConv", "StridedConv", "TransposedConv")
TOLERANCE = {torch.float32: 1e-5, torch.float16: 3e-3, torch.bfloat16: 2e-2}
"""Of the largest value. Every product of 16 bits may be rounded before it is added: 2^-11 and 2^-8 of it."""


@dataclass(frozen=True)
class Shape:
    """A grid of two scans with `span` cells along each edge, of which `voxels` are occupied."""

    span: int
    voxels: int
    cin: int
    cout: int


SMALL = (Shape(6, 150, 8, 16), Shape(6, 150, 5, 7))
LARGE = (*SMALL, Shape(12, 1500, 96, 96))
"""5 and 7 channels fit no tile and no alignment; 96 are the widest level of MinkUNet18-w32, in two tiles."""


@dataclass(frozen=True)
class Form:
    """A backend on a device. at_once: the reference takes all offsets at once, as on a GPU."""

    title: str
    backend: str
    device: torch.device
    at_once: bool = False

    def context(self) -> AbstractContextManager[None]:
        """Within it the backend computes in this form."""
        return as_on_a_gpu() if self.at_once else nullcontext()


def forms(device: torch.device) -> Iterator[Form]:
    """Every backend on the device, and the reference in its form for a CPU."""
    yield Form("reference, in runs (CPU)", "reference", torch.device("cpu"))
    yield Form("reference, at once", "reference", device, at_once=True)
    for name in BACKENDS:
        if name != "reference":
            yield Form(name, name, device)


def loadable(report: Report, device: torch.device) -> list[str]:
    """The backends that can be loaded; the others are named."""
    found = []
    for name in BACKENDS:
        try:
            load_backend(name)
            if (name, device.type) == ("torchsparse", "cpu"):
                raise BackendUnavailable("torchsparse needs a GPU")
            found.append(name)
        except BackendUnavailable as error:
            if not any(name in one for one in report.left_out):
                report.left_out.append(f"backend {name}: {error}")
    return found


def check_form(report: Report, form: Form, shapes: tuple[Shape, ...]) -> None:
    """One row per precision. A precision that a backend refuses is a row too."""
    backend = load_backend(form.backend)
    for dtype, tolerance in TOLERANCE.items():
        precision = str(dtype).removeprefix("torch.")
        errors: dict[str, float] = {}
        try:
            with form.context():
                for shape in shapes:
                    for operation in OPERATIONS:
                        for what, error in differences(backend, form.device, shape, operation, dtype):
                            # A difference that is no number is the largest.
                            errors[what] = max(
                                errors.get(what, 0.0), error if error == error else float("inf")
                            )
        except BackendUnavailable as error:
            report.add("conformance", backend=form.title, precision=precision, verdict=f"refuses: {error}")
            continue
        verdict = "OK" if max(errors.values()) <= tolerance else "FAIL"
        row = {"backend": form.title, "precision": precision, **errors, "tolerance": tolerance}
        report.add("conformance", **row, verdict=verdict)
        if verdict == "FAIL":
            report.errors.insert(0, f"conformance of {form.title} in {precision}: {errors}")


@lru_cache
def pyramid_of_shape(shape: Shape) -> KernelPyramid:
    """Two levels over random cells."""
    generator = torch.Generator().manual_seed(0)
    span = shape.span
    chosen = torch.randperm(2 * span**3, generator=generator)[: shape.voxels]
    coords = torch.stack(torch.unravel_index(chosen, (2, span, span, span)), dim=1).int()
    return build_pyramid(coords, levels=2)


@dataclass(frozen=True)
class Problem:
    """Inputs of one operation in some type, and what it must return, in float64."""

    x: Tensor
    weight: Tensor
    upstream: Tensor
    wanted: tuple[Tensor, ...]  # the result, the gradients of x and weight


@lru_cache
def problem(shape: Shape, operation: str, dtype: torch.dtype) -> Problem:
    """Random inputs, rounded to the type first: only the arithmetic differs."""
    torch.manual_seed(1)
    fine, coarse = pyramid_of_shape(shape).coords
    sides = {"StridedConv": (fine, coarse), "TransposedConv": (coarse, fine)}
    source, target = sides.get(operation, (fine, fine))
    offsets = 27 if operation == "SubmanifoldConv" else 8
    x = torch.randn(len(source), shape.cin).to(dtype)
    weight = (torch.randn(offsets, shape.cin, shape.cout) / shape.cin**0.5).to(dtype)
    upstream = torch.randn(len(target), shape.cout).to(dtype)
    exact_x, exact_weight = x.double().requires_grad_(), weight.double().requires_grad_()
    result = dense(operation, exact_x, exact_weight, source, target, shape.span)
    gradients = torch.autograd.grad(result, (exact_x, exact_weight), upstream.double())
    return Problem(x, weight, upstream, (result.detach(), *gradients))


def differences(
    backend: ModuleType, device: torch.device, shape: Shape, operation: str, dtype: torch.dtype
) -> Iterator[tuple[str, float]]:
    """The largest difference of the result and of both gradients, relative to the largest value."""
    given = problem(shape, operation, dtype)
    pyramid = pyramid_of_shape(shape).to(device)
    pairs = pyramid.submanifold[0] if operation == "SubmanifoldConv" else pyramid.stride[0]
    layer = getattr(backend, operation)(shape.cin, shape.cout)
    layer.weight = nn.Parameter(given.weight)
    layer, x = layer.to(device), given.x.to(device).requires_grad_()
    result = layer(x, pairs)
    gradients = torch.autograd.grad(result, (x, layer.weight), given.upstream.to(device))
    names = ("forward", "gradient of x", "gradient of weight")
    for name, found, wanted in zip(names, (result, *gradients), given.wanted):
        difference = (found.detach().cpu().double() - wanted).abs().max() / wanted.abs().max()
        yield name, float(difference)


def dense(operation: str, x: Tensor, weight: Tensor, source: Tensor, target: Tensor, span: int) -> Tensor:
    """The operation on a dense grid, at the target voxels."""
    size = span // 2 if operation == "TransposedConv" else span
    grid = x.new_zeros(2, size, size, size, x.shape[1]).index_put(tuple(source.long().unbind(1)), x)
    grid = grid.permute(0, 4, 1, 2, 3)
    width = round(len(weight) ** (1 / 3))
    filters = weight.reshape(width, width, width, *weight.shape[1:])
    if operation == "TransposedConv":
        result = nn.functional.conv_transpose3d(grid, filters.permute(3, 4, 0, 1, 2), stride=2)
    else:
        stride, padding = (2, 0) if operation == "StridedConv" else (1, 1)
        result = nn.functional.conv3d(grid, filters.permute(4, 3, 0, 1, 2), stride=stride, padding=padding)
    return result.permute(0, 2, 3, 4, 1)[tuple(target.long().unbind(1))]


def maps_of_device(coords: Tensor, levels: int) -> KernelPyramid:
    """The maps as a GPU builds them, on the device of coords."""
    return pyramid_of(pairs_on_device(coords, levels), offsets_on_device)


def unequal_maps(here: KernelPyramid, there: KernelPyramid) -> str:
    """What differs between the maps of the host and of the device; empty if nothing does."""
    host, device = tensors_in(here), tensors_in(there)
    if len(host) != len(device):
        return f"{len(host)} tensors on the host, {len(device)} on the device"
    wrong = [
        number
        for number, (one, other) in enumerate(zip(host, device))
        if one.dtype != other.dtype or not torch.equal(one, other.cpu())
    ]
    return f"tensors {wrong} of {len(host)} differ" if wrong else ""
