from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lass3d_core.paper.adapter import normalised
from lass3d_core.paper.safm import SafmConfig, TextBatch
from train.methods.contract import SemiBatch
from train.methods.lass3d import Lass3d, Lass3dConfig

MakeLass3d = Callable[[Lass3dConfig], Lass3d]


def gradient_of(term: Tensor, module: torch.nn.Module) -> list[Tensor | None]:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return list(torch.autograd.grad(term, trained, allow_unused=True, retain_graph=True))


# --- Eq. (9) and Tab. 2 ---


@pytest.mark.parametrize(
    "switches, names",
    [
        ({}, {"ce_l", "ce_u", "kl", "pe"}),
        ({"pe": False}, {"ce_l", "ce_u", "kl"}),
        ({"pe_iterations": 0}, {"ce_l", "ce_u", "kl"}),
        ({"pe": False, "kl": False}, {"ce_l", "ce_u"}),
        ({"pe": False, "kl": False, "ce_u": False}, {"ce_l"}),
        ({"transfer": "alignment"}, {"ce_l", "ce_u", "pe", "align"}),
    ],
)
def test_terms_are_those_switched_on(
    switches: dict[str, Any], names: set[str], batch: SemiBatch, make_lass3d: MakeLass3d
) -> None:
    assert make_lass3d(Lass3dConfig(**switches)).losses(batch, 0).keys() == names


@pytest.mark.parametrize(
    "weight, term",
    [("lambda_u", "ce_u"), ("lambda_kl", "kl"), ("lambda_pe", "pe"), ("lambda_align", "align")],
)
def test_term_is_weighted_by_its_lambda(
    weight: str, term: str, batch: SemiBatch, make_lass3d: MakeLass3d
) -> None:
    config = Lass3dConfig(tau_r=0.25, tau_v=1.0, transfer="alignment" if term == "align" else "safm")
    once, thrice = (make_lass3d(replace(config, **{weight: value})).losses(batch, 0) for value in (0.1, 0.3))
    assert once[term].item() > 0
    torch.testing.assert_close(thrice[term], 3 * once[term])
    torch.testing.assert_close({**thrice, term: once[term]}, once)


def test_without_distillation_the_adapter_is_bypassed(batch: SemiBatch, make_lass3d: MakeLass3d) -> None:
    for switches in ({"kl": False}, {"transfer": "alignment"}):
        method = make_lass3d(Lass3dConfig(**switches))
        features = torch.randn(7, 12)
        assert list(method.teacher.adapter.parameters()) == []
        torch.testing.assert_close(method.teacher.adapter(features), normalised(features))


# --- who learns from what ---


def test_eq_3_gives_the_student_exactly_zero_gradient(batch: SemiBatch, make_lass3d: MakeLass3d) -> None:
    method = make_lass3d(Lass3dConfig(tau_r=0.25, tau_v=1.0))
    divergence = method.losses(batch, 0)["kl"]
    assert divergence.item() > 0
    for module in (method.backbone, method.safm, method.classifier):
        assert gradient_of(divergence, module) == [None] * len(list(module.parameters()))
    assert all(bool(gradient.any()) for gradient in gradient_of(divergence, method.teacher.adapter))


def test_no_term_reaches_the_averaged_networks(batch: SemiBatch, make_lass3d: MakeLass3d) -> None:
    method = make_lass3d(Lass3dConfig(tau_r=0.25, tau_v=1.0))
    sum(method.losses(batch, 0).values()).backward()
    for module in (method.teacher.backbone, method.teacher.classifier):
        assert all(parameter.grad is None for parameter in module.parameters())


def test_student_terms_do_not_reach_the_adapter(batch: SemiBatch, make_lass3d: MakeLass3d) -> None:
    method = make_lass3d(Lass3dConfig(tau_r=0.25, tau_v=1.0))
    terms = method.losses(batch, 0)
    for name in ("ce_l", "ce_u", "pe"):
        assert all(gradient is None for gradient in gradient_of(terms[name], method.teacher.adapter))
        assert any(bool(gradient.any()) for gradient in gradient_of(terms[name], method.backbone))


def test_after_step_averages_backbone_and_classifier_but_not_the_adapter(make_lass3d: MakeLass3d) -> None:
    method = make_lass3d(Lass3dConfig(alpha=0.75))
    adapter = [parameter.clone() for parameter in method.teacher.adapter.parameters()]
    pairs = [(method.teacher.backbone, method.backbone), (method.teacher.classifier, method.classifier)]
    before = [[parameter.clone() for parameter in teacher.parameters()] for teacher, _ in pairs]
    for _, student in pairs:
        for parameter in student.parameters():
            parameter.data += 4.0
    method.after_step(100)
    for old, (teacher, _) in zip(before, pairs):
        torch.testing.assert_close([p.detach() for p in teacher.parameters()], [p + 1.0 for p in old])
    assert all(torch.equal(old, new) for old, new in zip(adapter, method.teacher.adapter.parameters()))


# --- text: captions (Tab. 3), fusion (Tab. 4), transfer (Tab. 6) ---


def test_prediction_does_not_change_with_the_texts(
    batch: SemiBatch, make_lass3d: MakeLass3d, make_texts: Callable[[int], TextBatch]
) -> None:
    method = make_lass3d(Lass3dConfig(tau_r=0.25, tau_v=1.0)).eval()
    predictions = []
    for seed in (5, 6):
        other = replace(batch, texts=make_texts(seed))
        method.losses(other, 0)
        predictions.append(method.predictor(other.features, other.pyramid))
    assert torch.equal(*predictions)


@pytest.mark.parametrize(
    "captions, image_matters, entity_matters",
    [("none", False, False), ("image", True, False), ("entity", False, True), ("both", True, True)],
)
@pytest.mark.parametrize("transfer", ["safm", "alignment"])
def test_captions_switch_hides_the_other_level(
    captions: str,
    image_matters: bool,
    entity_matters: bool,
    transfer: str,
    batch: SemiBatch,
    make_lass3d: MakeLass3d,
    make_texts: Callable[[int], TextBatch],
) -> None:
    other = make_texts(9)
    images = replace(batch.texts, image_rows=other.image_rows, image_pooled=other.image_pooled)
    entities = replace(batch.texts, entity_rows=other.entity_rows)
    method = make_lass3d(Lass3dConfig(captions=captions, transfer=transfer))

    def objective(texts: TextBatch) -> float:
        return sum(method.losses(replace(batch, texts=texts), 0).values()).item()

    assert (objective(images) != objective(batch.texts)) == image_matters
    assert (objective(entities) != objective(batch.texts)) == entity_matters


@pytest.mark.parametrize("fusion", ["cross_attention", "add", "concat"])
def test_every_fusion_trains_all_of_its_parameters(
    fusion: str, batch: SemiBatch, make_lass3d: MakeLass3d
) -> None:
    method = make_lass3d(Lass3dConfig(safm=SafmConfig(fusion=fusion)))
    gradients = gradient_of(method.losses(batch, 0)["ce_l"], method.safm)
    assert all(gradient is not None and bool(gradient.any()) for gradient in gradients)


def test_alignment_trains_the_backbone_by_the_texts(batch: SemiBatch, make_lass3d: MakeLass3d) -> None:
    method = make_lass3d(Lass3dConfig(transfer="alignment"))
    assert not hasattr(method, "safm")
    term = method.losses(batch, 0)["align"]
    assert any(bool(gradient.any()) for gradient in gradient_of(term, method.backbone))


# --- configuration ---


@pytest.mark.parametrize(
    "setting",
    [
        {"tau_r": 1.2},
        {"tau_n": -0.1},
        {"alpha": 1.0},
        {"lambda_pe": -1.0},
        {"pe_iterations": -1},
    ],
)
def test_value_out_of_range_is_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        Lass3dConfig(**setting)
