from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lass3d_core import nets
from lass3d_core.compute.precision import Precision, autocast, make_scaler, refusal, to_float32
from lass3d_core.nets.segmenter import Segmenter, make_classifier
from lass3d_core.paper.adapter import AdapterConfig, FusionAdapter
from lass3d_core.paper.ema import teacher_of, update_teacher
from lass3d_core.paper.safm import Safm, SafmConfig, TextBatch
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid

CPU = torch.device("cpu")
HALF = pytest.mark.parametrize("precision", ["bfloat16", "float16"])
NET = nets.UNetConfig(stem=8, encoder=(8, 8), decoder=(8, 8), blocks=1)


def some_voxels() -> tuple[Tensor, KernelPyramid]:
    """A full cube of 512 voxels, four features each."""
    torch.manual_seed(0)
    places = torch.cartesian_prod(*[torch.arange(8, dtype=torch.int32)] * 3)
    coords = torch.cat([torch.zeros(512, 1, dtype=torch.int32), places], dim=1)
    return torch.randn(512, 4), build_pyramid(coords, levels=3)


def segmenter() -> Segmenter:
    torch.manual_seed(1)
    return Segmenter(nets.make_backbone(NET, 4), FusionAdapter(AdapterConfig(16), 8), make_classifier(8, 5))


def dtypes_of_layers(network: nn.Module, precision: Precision, *inputs: object) -> dict[str, torch.dtype]:
    """What every layer without children hands on under autocast."""
    found: dict[str, torch.dtype] = {}

    def note(name: str) -> None:
        def hook(layer: nn.Module, _: object, output: Tensor) -> None:
            found[name] = output.dtype

        network.get_submodule(name).register_forward_hook(hook)

    for name, layer in network.named_modules():
        if not list(layer.children()):
            note(name)
    with autocast(precision, CPU):
        network(*inputs)
    return found


def test_wider_types_stay_as_they_are() -> None:
    for dtype, wanted in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert to_float32(torch.zeros(1, dtype=dtype)).dtype == wanted


def test_float32_is_the_same_as_no_context() -> None:
    network, voxels = segmenter().eval(), some_voxels()
    with autocast("float32", CPU):
        inside = network(*voxels)
    assert torch.equal(inside, network(*voxels))


@HALF
def test_convolutions_and_linear_maps_have_16_bits_but_for_the_first_which_sees_coordinates(
    precision: Precision,
) -> None:
    network = segmenter()
    found = dtypes_of_layers(network, precision, *some_voxels())
    products = [
        name for name in found if "conv" in name or isinstance(network.get_submodule(name), nn.Linear)
    ]
    assert {name for name in products if found[name] == torch.float32} == {"backbone.stem.0.conv"}
    assert {found[name] for name in products} == {torch.float32, getattr(torch, precision)}


@HALF
def test_logits_gradients_and_running_statistics_are_float32(precision: Precision) -> None:
    network = segmenter()
    with autocast(precision, CPU):
        logits = network(*some_voxels())
    assert logits.dtype == torch.float32
    logits.square().mean().backward()
    assert {parameter.grad.dtype for parameter in network.parameters()} == {torch.float32}
    assert {b.dtype for b in network.buffers()} == {torch.float32, torch.int64}


@pytest.mark.parametrize(("half", "tolerance"), [("bfloat16", 0.05), ("float16", 0.006)])
def test_logits_are_near_those_of_float32_and_the_gradient_has_their_direction(
    half: Precision, tolerance: float
) -> None:
    """Of a fresh network no more can be asked of a gradient: batch norm takes away nearly all of it."""
    voxels, results = some_voxels(), {}
    for precision in ("float32", half):
        network = segmenter()
        with autocast(precision, CPU):
            logits = network(*voxels)
        logits.square().mean().backward()
        gradient = torch.cat([parameter.grad.flatten() for parameter in network.parameters()])
        results[precision] = (logits.detach(), gradient)
    (exact, exact_gradient), (mixed, mixed_gradient) = results.values()
    assert 0 < float((exact - mixed).norm()) < tolerance * float(exact.norm())
    assert float(torch.cosine_similarity(exact_gradient, mixed_gradient, dim=0)) > 0.9


def test_the_teacher_follows_steps_that_bfloat16_would_swallow() -> None:
    """Eq. (1) adds a thousandth of the student: with eight bits it would never move."""
    student = nn.Linear(1, 1, bias=False)
    nn.init.ones_(student.weight)
    teacher = teacher_of(student)
    nn.init.constant_(student.weight, 2.0)
    with autocast("bfloat16", CPU):
        update_teacher(teacher, student, 0.999, step=10_000)
    assert float(teacher.weight) == pytest.approx(1.001)


@pytest.mark.parametrize(("half", "tolerance"), [("bfloat16", 0.015), ("float16", 0.002)])
@pytest.mark.parametrize("fusion", ["cross_attention", "add", "concat"])
def test_fused_features_are_float32_and_about_those_of_full_precision(
    fusion: str, half: Precision, tolerance: float
) -> None:
    torch.manual_seed(0)
    safm = Safm(SafmConfig(fusion=fusion, hidden=32, heads=2), 8, 16)
    nn.init.normal_(safm.leave.weight, std=0.3)
    texts = TextBatch(torch.randn(7, 16), (0, 2, 3, 7), torch.randn(3, 16), torch.randn(5, 16))
    f_3d, image, entity = torch.randn(64, 8), torch.randint(-1, 3, (64,)), torch.randint(-1, 5, (64,))
    exact = safm(f_3d, image, entity, texts)
    with autocast(half, CPU):
        mixed = safm(f_3d.to(getattr(torch, half)), image, entity, texts)
    assert mixed.dtype == torch.float32
    assert float((exact - mixed).detach().norm()) < tolerance * float(exact.detach().norm())
    mixed.square().sum().backward()
    assert {p.grad.dtype for p in safm.parameters() if p.grad is not None} == {torch.float32}


def test_the_tables_of_text_rows_are_folded_in_float32() -> None:
    """The products of weights and text rows, before they meet a voxel."""
    torch.manual_seed(0)
    safm = Safm(SafmConfig(hidden=32, heads=2), 8, 16)
    seen: list[torch.dtype] = []
    safm.key.register_forward_hook(lambda layer, inputs, output: seen.append(output.dtype))
    texts = TextBatch(torch.randn(7, 16), (0, 2, 7), torch.randn(2, 16), torch.randn(5, 16))
    with autocast("bfloat16", CPU):
        safm(torch.randn(64, 8), torch.randint(-1, 2, (64,)), torch.randint(-1, 5, (64,)), texts)
    assert seen == [torch.float32]


def test_only_float16_is_scaled() -> None:
    assert make_scaler("float32", CPU) is make_scaler("bfloat16", CPU) is None
    scaler = make_scaler("float16", CPU)
    assert scaler is not None and scaler.is_enabled()


@pytest.mark.parametrize(
    ("capability", "refused"), [((7, 0), True), ((7, 5), True), ((8, 0), False), ((9, 0), False)]
)
def test_a_gpu_without_bfloat16_refuses_it_in_a_line_that_names_float16(
    capability: tuple[int, int], refused: bool
) -> None:
    why = refusal("bfloat16", "Tesla T4", capability)
    assert (why is not None) == refused
    if why is not None:
        assert "Tesla T4" in why and "precision=float16" in why and "\n" not in why
    assert refusal("float16", "Tesla T4", capability) is refusal("float32", "Tesla T4", capability) is None
