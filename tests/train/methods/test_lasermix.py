from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from lass3d_core.nets.range_unet import shown
from lass3d_core.nets.range_view import RangeImageConfig, range_view
from lass3d_core.paper import losses
from lass3d_core.paper.exploitation import ExploitationConfig
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.lasermix import LaserMix, LaserMixConfig

TWO_BANDS = LaserMixConfig(areas=(2,), pitch_deg=(-45.0, 45.0))
"""Above the horizon and below it."""


class Spy(nn.Module):
    """A backbone that keeps what it was shown."""

    out_channels = 4

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Tensor, Tensor]] = []

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        self.shown.append((features, pyramid.coords[0]))
        return features


def centred(batch: SemiBatch) -> SemiBatch:
    """The same with the sensor in the middle: half of its voxels lie below the horizon."""
    coords = batch.pyramid.coords[0] - torch.tensor([0, 2, 2, 2], dtype=torch.int32)
    return replace(batch, pyramid=build_pyramid(coords, 1))


def test_a_mix_takes_even_bands_of_one_scan_and_odd_bands_of_the_other(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = LaserMix(TWO_BANDS, replace(ingredients, make_backbone=Spy))
    batch = centred(batch)
    method.losses(batch, 0)
    features, coords = method.student.backbone.shown[-1]
    above = batch.pyramid.coords[0][:, 3] >= 0
    for labelled, unlabelled in ((0, 2), (1, 3)):
        mixes = [
            (above & (batch.scan == labelled)) | (~above & (batch.scan == unlabelled)),
            (~above & (batch.scan == labelled)) | (above & (batch.scan == unlabelled)),
        ]
        for number, expected in enumerate(mixes):
            rows = coords[:, 0] == 2 * labelled + number
            assert torch.equal(features[rows], batch.features[expected])
            assert torch.equal(coords[rows, 1:], batch.pyramid.coords[0][expected, 1:])


def test_in_the_range_view_a_mix_is_even_bands_of_rows_of_one_image_and_odd_ones_of_the_other(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    """Four bands of a row each; voxels of 1 m whose one point is in the middle."""
    config = LaserMixConfig(areas=(4,), pitch_deg=(-60.0, 60.0))
    method = LaserMix(config, replace(ingredients, make_backbone=Spy))
    batch = centred(batch)
    middles = batch.pyramid.coords[0][:, 1:] + 0.5
    batch = replace(batch, features=torch.cat([middles, batch.features[:, 3:]], dim=1))

    def images(features: Tensor, coords: Tensor) -> Tensor:
        view = range_view(features[:, :3], coords[:, 0], RangeImageConfig(4, 16, config.pitch_deg))
        return shown(features, view).view(-1, 4, 16, 5)

    method.losses(batch, 0)
    whole, mixed = (images(*method.student.backbone.shown[place]) for place in (0, -1))
    assert whole[..., -1].any(dim=(0, 2)).all()  # no row is empty everywhere
    for number, (labelled, unlabelled) in enumerate(((0, 2), (1, 3))):
        even = torch.tensor([True, False, True, False])[:, None, None]
        assert torch.equal(mixed[2 * number], torch.where(even, whole[labelled], whole[unlabelled]))
        assert torch.equal(mixed[2 * number + 1], torch.where(even, whole[unlabelled], whole[labelled]))


def test_scan_without_a_partner_is_not_mixed(
    batch: SemiBatch, ingredients: Ingredients, of_rows: Callable[[SemiBatch, Tensor], SemiBatch]
) -> None:
    method = LaserMix(TWO_BANDS, replace(ingredients, make_backbone=Spy))
    method.losses(of_rows(batch, batch.scan != 1), 0)
    features, coords = method.student.backbone.shown[-1]
    assert set(coords[:, 0].tolist()) <= {0, 1}
    assert len(features) == 120


def test_terms_are_those_of_the_paper(batch: SemiBatch, ingredients: Ingredients) -> None:
    """All 240 voxels are in a mix, and the backbone sees each by itself: mixed logits are the logits."""
    method = LaserMix(replace(TWO_BANDS, tau=0.3, lambda_mix=0.5, lambda_consistency=3.0), ingredients)
    method.teacher.classifier[2].weight.data *= 3
    method.student.classifier[2].bias.data += torch.arange(5.0) / 10
    batch = centred(batch)
    terms = method.losses(batch, 0)
    student, teacher = (branch(batch.features, batch.pyramid) for branch in (method.student, method.teacher))
    confidence, pseudo_labels = teacher.softmax(1).max(1)
    labels = torch.where(confidence >= 0.3, pseudo_labels, 255)
    labels[:120] = batch.labels[:120]
    assert 0.2 < method.measures["reliable_share"] < 0.95
    assert method.measures["mixed_points"] == float((labels != 255).sum())
    torch.testing.assert_close(
        terms,
        {
            "ce_l": cross_entropy(student[:120], batch.labels[:120]),
            "ce_mix": 0.5 * cross_entropy(student, labels, ignore_index=255),
            "consistency": 3 * (student.softmax(1) - teacher.softmax(1)).square().mean(),
        },
    )


def test_lovasz_and_exploitation_are_further_terms_where_they_are_switched_on(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    more = replace(TWO_BANDS, lambda_lovasz=3.0, tau=1.0, pe=ExploitationConfig(weight=0.1))
    terms = LaserMix(more, ingredients).losses(batch, 0)
    assert terms.keys() == {"ce_l", "ce_mix", "consistency", "lovasz", "pe"}
    method = LaserMix(replace(TWO_BANDS, lambda_lovasz=3.0, tau=1.0), ingredients)
    term = method.losses(batch, 0)["lovasz"]
    expected = losses.lovasz_softmax(method.student(batch.features, batch.pyramid), batch.labels)
    torch.testing.assert_close(term, 6 * expected)  # without pseudo-labels the mixes hold the same points


def test_a_batch_without_unlabelled_scans_is_no_obstacle(
    batch: SemiBatch, ingredients: Ingredients, of_rows: Callable[[SemiBatch, Tensor], SemiBatch]
) -> None:
    terms = LaserMix(LaserMixConfig(), ingredients).losses(of_rows(batch, batch.is_labelled), 0)
    assert terms["ce_mix"].item() == 0 and terms["ce_l"].item() > 0


def test_no_gradient_reaches_the_teacher_which_follows_the_student(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = LaserMix(LaserMixConfig(alpha=0.75), ingredients)
    before = method.predictor.classifier[0].weight.clone()
    sum(method.losses(batch, 0).values()).backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    method.student.classifier[0].weight.data += 4.0
    method.after_step(100)
    torch.testing.assert_close(method.predictor.classifier[0].weight, before + 1.0)


@pytest.mark.parametrize(
    "setting",
    [{"alpha": 1.0}, {"tau": 1.1}, {"areas": ()}, {"areas": (0, 3)}, {"pitch_deg": (3.0, -25.0)}]
    + [{name: -1} for name in ("lambda_mix", "lambda_consistency", "lambda_lovasz", "seed")],
)
def test_value_out_of_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        LaserMixConfig(**setting)
