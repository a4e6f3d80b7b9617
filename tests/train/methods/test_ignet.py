from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from lass3d_core.paper import losses
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.ignet import Ignet, IgnetConfig, fov_mix, one_way_contrast
from train.methods.parts.crops import Crop, quarter_turned
from train.methods.parts.votes import PhraseVotes


def unit(*degrees: float) -> Tensor:
    angle = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def test_contrast_of_one_point_by_hand() -> None:
    """Cosines 1 and 0 with the two pixels of its class, -1 with the other; temperature 2."""
    points = unit(0).requires_grad_()
    pixels = unit(0, 90, 180).requires_grad_()
    loss = one_way_contrast(points, torch.tensor([3]), pixels, torch.tensor([3, 3, 1]), 2.0)
    total = math.exp(0.5) + 1 + math.exp(-0.5)
    expected = -(math.log(math.exp(0.5) / total) + math.log(1 / total)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert bool(points.grad.any()) and pixels.grad is None  # one way


def test_points_whose_class_no_pixel_has_do_not_count() -> None:
    points, pixels = unit(0, 40, 80), unit(0, 90)
    classes, of_class = torch.tensor([0, 2, 255]), torch.tensor([0, 1])
    whole = one_way_contrast(points, classes, pixels, of_class, 0.5)
    alone = one_way_contrast(points[:1], classes[:1], pixels, of_class, 0.5)
    assert whole.item() == pytest.approx(alone.item())
    assert one_way_contrast(points[1:], classes[1:], pixels, of_class, 0.5).item() == 0
    assert one_way_contrast(points, classes, pixels[:0], of_class[:0], 0.5).item() == 0


def scan(*places: tuple[int, int, int], first_row: int = 0) -> Crop:
    coords = torch.tensor([(0, *place) for place in places], dtype=torch.int32)
    metres = coords[:, 1:].float() + 0.5
    return Crop(torch.arange(len(places)) + first_row, coords, torch.cat([metres, metres[:, :1]], dim=1))


def test_the_wedge_of_one_scan_takes_the_place_of_the_other_s_after_a_turn() -> None:
    """The camera looks along +x; a quarter turn brings its wedge of 90 degrees to +y."""
    into = scan((5, 0, 0), (0, 5, 1), (-5, 0, 2), (0, -5, 3))
    of = scan((6, 1, 0), (1, 6, 1), (6, -2, 2), first_row=10)
    view = torch.tensor([True, False, True])
    mixed = fov_mix(into, of, view, 1, math.radians(90))
    assert mixed.rows.tolist() == [0, 2, 3, 10, 12]
    assert mixed.coords[:, 1:].tolist() == [[5, 0, 0], [-5, 0, 2], [0, -5, 3], [-2, 6, 0], [1, 6, 2]]
    assert mixed.features[3:].tolist() == [[-1.5, 6.5, 0.5, 6.5], [1.5, 6.5, 2.5, 6.5]]


def test_without_a_camera_nothing_is_mixed() -> None:
    into = scan((5, 0, 0))
    assert len(fov_mix(into, into, torch.tensor([False]), 1, 1.0).rows) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 3), st.floats(0.1, 2 * math.pi))
def test_no_voxel_of_a_mix_occurs_twice_and_each_comes_from_its_side(
    seed: int, turns: int, angle: float
) -> None:
    """A full disc of voxels on both sides: whatever is not in the wedge is kept, and all places are taken."""
    place = torch.cartesian_prod(torch.arange(-6, 6), torch.arange(-6, 6), torch.arange(1))
    into, of = scan(*place.tolist()), scan(*place.tolist(), first_row=1000)
    view = torch.rand(len(place), generator=torch.Generator().manual_seed(seed)) < 0.1
    view[seed % len(view)] = True
    mixed = fov_mix(into, of, view, turns, angle)
    build_pyramid(mixed.coords, 1)  # refuses voxels that are equal
    assert len(mixed.rows) == len(place)
    assert torch.equal(mixed.features[:, :3], mixed.coords[:, 1:] + 0.5)
    taken = mixed.rows[mixed.rows >= 1000] - 1000
    back = quarter_turned(Crop(taken, mixed.coords[-len(taken) :], mixed.features[-len(taken) :]), -turns)
    assert len(taken) == 0 or torch.equal(back.coords, of.coords[taken])


def test_quarter_turns_bring_x_to_y_and_four_of_them_nothing_new() -> None:
    crop = scan((2, 0, 0), (-3, 1, 4))
    turned = quarter_turned(crop, 1)
    assert turned.coords[:, 1:].tolist() == [[-1, 2, 0], [-2, -3, 4]]
    assert torch.equal(turned.features[:, :3], turned.coords[:, 1:] + 0.5)
    whole = quarter_turned(turned, 3)
    assert torch.equal(whole.coords, crop.coords) and torch.equal(whole.features, crop.features)


def test_phrase_names_the_class_that_it_is_on_most_often(ingredients: Ingredients) -> None:
    """Phrase 5 is on no labelled point; the last row is that of points without a phrase."""
    method = Ignet(IgnetConfig(), ingredients)
    assert method.phrase_class.tolist() == [0, 1, 2, 3, 4, 255, 255]
    torch.testing.assert_close(method.phrase_rows[:6], torch.eye(6, 16))
    assert not method.phrase_rows[6].any()


def test_terms_are_those_of_the_head(batch: SemiBatch, ingredients: Ingredients) -> None:
    config = IgnetConfig(lambda_consistency=2.0, lambda_image=0.5, temperature=0.3, lambda_mix=0.0)
    method = Ignet(config, ingredients)
    method.student.classifier[2].bias.data += torch.arange(5.0)
    terms = method.losses(batch, 0)
    features = method.student.backbone(batch.features, batch.pyramid)
    student, teacher = (net(batch.features, batch.pyramid) for net in (method.student, method.teacher))
    classes = torch.where(batch.is_labelled, batch.labels, batch.phrase)
    total, counted = 0.0, 0
    for z, own, phrase in zip(normalize(method.projector(features), dim=1), classes, batch.phrase):
        if phrase >= 0 and own < 5:  # an unlabelled point with phrase 5 has no class
            total -= (z[:5] / 0.3).log_softmax(0)[own].item()  # phrase c is unit vector c, and of class c
            counted += 1
    assert terms.keys() == {"ce_l", "consistency", "image"}
    assert 100 < counted < 220
    assert terms["image"].item() == pytest.approx(0.5 * total / counted, rel=1e-4)
    torch.testing.assert_close(terms["ce_l"], cross_entropy(student[:120], batch.labels[:120]))
    torch.testing.assert_close(terms["consistency"], 2 * losses.feature_kl(teacher[120:], student[120:]))


def centred(batch: SemiBatch) -> SemiBatch:
    """The same with the sensor in the middle."""
    coords = batch.pyramid.coords[0] - torch.tensor([0, 2, 2, 0], dtype=torch.int32)
    return replace(batch, pyramid=build_pyramid(coords, 1))


def test_mixed_scans_have_the_targets_of_what_they_are_made_of(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method, batch = Ignet(IgnetConfig(lambda_mix=0.5), ingredients), centred(batch)
    method.student.classifier[2].bias.data += torch.arange(5.0)
    terms = method.losses(batch, 0)
    cloud = method._mixed(batch, 0)
    assert cloud.coords[:, 0].unique().tolist() == [0, 1, 2, 3]
    for number, (into, of) in enumerate(((0, 2), (2, 0), (1, 3), (3, 1))):
        scans = batch.scan[cloud.rows[cloud.coords[:, 0] == number]]
        assert set(scans.tolist()) == {into, of}
        assert (scans == into).sum() > (scans == of).sum()  # the wedge is 80 of 360 degrees
    with torch.no_grad():
        teacher = method.teacher(batch.features, batch.pyramid)
    student = method.student(cloud.features, batch.pyramid)
    labels = batch.labels[cloud.rows]
    expected = losses.cross_entropy(student, labels) + losses.feature_kl(
        teacher[cloud.rows][labels == 255], student[labels == 255]
    )
    without_image = replace(method.config, lambda_image=0.0)
    method.config = without_image
    torch.testing.assert_close(method.losses(batch, 0)["mix"], 0.5 * expected)
    assert terms["mix"].item() > 0.5 * expected.item()  # with the images


def test_turns_hang_on_the_step_and_the_scan(batch: SemiBatch, ingredients: Ingredients) -> None:
    method, batch = Ignet(IgnetConfig(), ingredients), centred(batch)
    first = [method._mixed(batch, step).coords.tolist() for step in range(5)]
    assert first == [method._mixed(batch, step).coords.tolist() for step in range(5)]
    assert any(coords != first[0] for coords in first[1:])


def test_image_guidance_trains_backbone_and_projector_alone(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = Ignet(IgnetConfig(), ingredients)
    method.losses(batch, 0)["image"].backward()
    trained = {name.split(".")[0] for name, value in method.named_parameters() if value.grad is not None}
    assert trained == {"student", "projector"}
    assert method.student.classifier[0].weight.grad is None
    assert bool(method.student.backbone.linear.weight.grad.any())


def test_without_phrases_it_is_a_mean_teacher(batch: SemiBatch, ingredients: Ingredients) -> None:
    blind = replace(batch, votes=PhraseVotes.certain(torch.full_like(batch.phrase, -1)))
    terms = Ignet(IgnetConfig(), replace(ingredients, phrase_counts=None)).losses(blind, 0)
    assert terms["image"].item() == terms["mix"].item() == 0 and terms["ce_l"].item() > 0


def test_a_batch_without_unlabelled_scans_is_no_obstacle(
    batch: SemiBatch, ingredients: Ingredients, of_rows: Callable[[SemiBatch, Tensor], SemiBatch]
) -> None:
    terms = Ignet(IgnetConfig(), ingredients).losses(of_rows(batch, batch.is_labelled), 0)
    assert terms["mix"].item() == 0 and terms["image"].item() > 0


@pytest.mark.parametrize(
    "setting",
    [{"alpha": 1.0}, {"temperature": 0.0}, {"fov_deg": 0.0}, {"fov_deg": 361.0}]
    + [{name: -1} for name in ("lambda_consistency", "lambda_image", "lambda_mix", "seed")],
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        IgnetConfig(**setting)
