from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from lass3d_core.paper import losses
from lass3d_core.paper.exploitation import ExploitationConfig
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.lim3d import (
    Lim3d,
    Lim3dConfig,
    SeenFeatures,
    annuli,
    bank_contrast,
    by_entropy,
    class_means,
    negatives,
)

SMALL = Lim3dConfig(distil_from=3, queries=4, negatives=6, bank=40, enqueued=10, likeliest=2, alpha=0.5)


def test_annuli_are_of_equal_width_and_the_last_has_all_beyond() -> None:
    """Distances 0, 4.9, 5 (3-4-5), 49.9 and 80 m; height plays no part."""
    points = torch.tensor([[0, 0, 9], [4.9, 0, 0], [3, -4, 0], [0, 49.9, -1], [80, 0, 0]])
    assert annuli(points, 10, 50.0).tolist() == [0, 0, 1, 9, 9]


def test_sure_and_unsure_are_the_ends_of_the_order_by_entropy() -> None:
    """Five counted points; 40 % of the four steps from the lowest are 2 points and the third, rounded."""
    top = torch.tensor([0.99, 0.5, 0.9, 0.6, 0.8, 0.7])
    probabilities = torch.stack([top, 1 - top], dim=1)
    counted = torch.tensor([True, True, True, True, True, False])
    sure, unsure = by_entropy(probabilities, counted, 0.25)
    assert sure.tolist() == [True, False, True, False, False, False]  # .99 and .9
    assert unsure.tolist() == [False, True, False, True, False, False]  # .5 and .6


def test_without_counted_points_none_is_sure() -> None:
    nothing = torch.zeros(2, dtype=torch.bool)
    sure, unsure = by_entropy(torch.full((2, 2), 0.5), nothing, 0.4)
    assert not sure.any() and not unsure.any()


def test_negatives_are_likely_other_classes_where_labelled_and_unlikely_ones_where_unsure() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.15, 0.05]] * 5)
    labels = torch.tensor([0, 3, 255, 255, 2])
    is_labelled = torch.tensor([True, True, True, False, False])
    unsure = torch.tensor([False, False, False, True, False])
    found = negatives(SeenFeatures(torch.zeros(5, 1), probabilities, labels, is_labelled), unsure, 2)
    assert found.int().tolist() == [
        [0, 1, 0, 0],  # class 1 is likely and wrong
        [1, 1, 0, 0],  # both likely ones are wrong
        [0, 0, 0, 0],  # nobody knows
        [0, 0, 1, 1],  # the two unlikely ones
        [0, 0, 0, 0],  # not unsure
    ]


def test_centres_are_means_and_absent_classes_have_none() -> None:
    features = torch.tensor([[1.0, 0.0], [3.0, 2.0], [5.0, 5.0]])
    means = class_means(features, torch.tensor([2, 2, 0]), 3)
    assert means.tolist() == [[5, 5], [0, 0], [2, 1]]


def test_contrast_of_one_query_by_hand() -> None:
    """Cosines .6 with the centre, 0 and -1 with the negatives, whatever the lengths; temperature .5."""
    query = torch.tensor([[2.0, 0.0]], requires_grad=True)
    positive = torch.tensor([[3.0, 4.0]], requires_grad=True)
    against = torch.tensor([[[0.0, 7.0], [-0.5, 0.0]]])
    loss = bank_contrast(query, positive, against, 0.5)
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1.2) + math.exp(-3.2)))
    loss.backward()
    assert bool(query.grad.any()) and positive.grad is None


def test_without_queries_the_contrast_is_zero_and_has_a_graph() -> None:
    features = torch.zeros(3, 2, requires_grad=True)
    none = features[torch.zeros(0, dtype=torch.int64)]
    loss = bank_contrast(none, torch.zeros(0, 2), torch.zeros(0, 5, 2), 0.5)
    loss.backward()
    assert loss.item() == 0 and features.grad is not None


def test_a_mean_teacher_comes_first(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Lim3d(replace(SMALL, lambda_consistency=3.0, lambda_lovasz=2.0), ingredients)
    method.student.classifier[2].bias.data += torch.arange(5.0)
    terms = method.losses(batch, 2)
    student, teacher = (net(batch.features, batch.pyramid) for net in (method.student, method.teacher))
    divergence = kl_div(student[120:].log_softmax(1), teacher[120:].softmax(1), reduction="batchmean")
    torch.testing.assert_close(
        terms,
        {
            "ce_l": cross_entropy(student[:120], batch.labels[:120]),
            "consistency": 3 * divergence,
            "lovasz": 2 * losses.lovasz_softmax(student[:120], batch.labels[:120]),
        },
    )
    assert method.measures["pseudo_share"] == 0 and not method.confidences.counts.any()


def distilling(ingredients: Ingredients, config: Lim3dConfig = SMALL) -> Lim3d:
    """A method whose labeller is its teacher of the last step before, and not its present one."""
    method = Lim3d(config, ingredients)
    method.student.classifier[2].bias.data += torch.arange(5.0) / 5
    method.after_step(config.distil_from - 1)
    method.student.classifier[2].bias.data -= torch.arange(5.0)
    method.after_step(config.distil_from)
    return method


def best_half(logits: Tensor, annulus: Tensor) -> Tensor:
    """Pseudo-labels by sorting each class of each annulus."""
    confidence, predicted = logits.softmax(1).max(1)
    labels = torch.full_like(predicted, 255)
    for zone in annulus.unique():
        for index in range(logits.shape[1]):
            rows = ((annulus == zone) & (predicted == index)).nonzero().squeeze(1)
            order = confidence[rows].argsort(descending=True)
            labels[rows[order[: math.floor(0.5 * len(rows))]]] = index
    return labels


def test_pseudo_labels_are_the_surer_half_of_each_class_and_annulus(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    config = replace(SMALL, annuli=3, range_m=6.0)
    method = distilling(ingredients, config)
    method.labeller.classifier[2].weight.data *= 40  # so that few share a bin of the histogram
    with torch.no_grad():
        logits = method.labeller.eval()(batch.features, batch.pyramid)[120:]
    expected = best_half(logits, annuli(batch.features[120:], 3, 6.0))
    found = method._pseudo_labels(batch)
    assert bool((found[:120] == 255).all())
    assert 0.4 < (found[120:] != 255).float().mean() < 0.55
    assert (found[120:] == expected).float().mean() > 0.97


def test_distillation_adds_pseudo_labels_and_contrast(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = distilling(ingredients, replace(SMALL, lambda_u=0.5))
    terms = method.losses(batch, 3)
    assert terms.keys() == {"ce_l", "consistency", "lovasz", "ce_u", "contrast"}
    method.confidences.counts.zero_()
    labels = method._pseudo_labels(batch)
    student, teacher = (net(batch.features, batch.pyramid) for net in (method.student, method.teacher))
    known = labels.clone()
    known[:120] = batch.labels[:120]
    without = known == 255
    torch.testing.assert_close(terms["ce_u"], 0.5 * cross_entropy(student, labels, ignore_index=255))
    torch.testing.assert_close(terms["lovasz"], losses.lovasz_softmax(student, known))
    torch.testing.assert_close(terms["consistency"], losses.feature_kl(teacher[without], student[without]))


def test_queries_have_a_label_and_their_negatives_come_from_the_bank_of_their_class(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = distilling(ingredients)
    method.losses(batch, 3)
    assert int(method.bank.entered.min()) > 0 and int(method.bank.entered.max()) <= 10
    candidates = batch.labels < 3
    queries, places = method._drawn(batch.labels, candidates, np.random.default_rng(0))
    assert torch.bincount(batch.labels[queries]).tolist() == [4, 4, 4]
    assert places.shape == (12, 6)
    assert bool((places < method.bank.entered[batch.labels[queries]].unsqueeze(1)).all())


def test_contrast_trains_the_student_s_features_and_nothing_else(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = distilling(ingredients)
    method.losses(batch, 3)["contrast"].backward()
    assert bool(method.student.backbone.linear.weight.grad.any())
    trained = {name for name, parameter in method.named_parameters() if parameter.grad is not None}
    assert all(name.startswith("student.backbone") for name in trained)


def test_points_without_a_pseudo_label_are_exploited_where_it_is_switched_on(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = distilling(ingredients, replace(SMALL, pe=ExploitationConfig(weight=0.1)))
    assert method.losses(batch, 3)["pe"].item() > 0
    assert "pe" not in method.losses(batch, 2)


def test_labeller_stays_as_it_was_when_distillation_began(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Lim3d(SMALL, ingredients)
    method.student.classifier[2].bias.data += 1.0
    method.after_step(1)
    assert not torch.equal(method.labeller.classifier[2].bias, method.teacher.classifier[2].bias)
    method.after_step(2)
    then = method.teacher.classifier[2].bias.clone()
    assert torch.equal(method.labeller.classifier[2].bias, then)
    method.student.classifier[2].bias.data += 1.0
    method.after_step(3)
    assert torch.equal(method.labeller.classifier[2].bias, then)
    assert not torch.equal(method.teacher.classifier[2].bias, then)


def test_a_batch_without_unlabelled_scans_is_no_obstacle(batch: SemiBatch, ingredients: Ingredients) -> None:
    labelled = batch.is_labelled
    alone = replace(
        batch,
        **{name: getattr(batch, name)[labelled] for name in ("features", "labels", "is_labelled", "scan")},
        pyramid=build_pyramid(batch.pyramid.coords[0][labelled], 1),
    )
    terms = distilling(ingredients, replace(SMALL, pe=ExploitationConfig(weight=0.1))).losses(alone, 3)
    assert terms["ce_u"].item() == terms["pe"].item() == terms["consistency"].item() == 0
    assert terms["contrast"].item() > 0


def test_a_restart_during_distillation_changes_nothing(batch: SemiBatch, ingredients: Ingredients) -> None:
    def train(method: Lim3d, steps: range) -> None:
        optimiser = torch.optim.SGD(method.student.parameters(), lr=0.1)
        for step in steps:
            optimiser.zero_grad()
            sum(method.losses(batch, step).values()).backward()
            optimiser.step()
            method.after_step(step)

    through, resumed = Lim3d(SMALL, ingredients), Lim3d(SMALL, ingredients)
    train(through, range(5))
    resumed.load_state_dict(through.state_dict())
    for method in (through, resumed):
        train(method, range(5, 8))
    assert through.measures["pseudo_share"] > 0
    for key, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize(
    "setting",
    [{"alpha": 1.0}, {"portion": 1.5}, {"entropy_share": -0.1}, {"anchor_confidence": 2.0}]
    + [{name: -1} for name in ("lambda_consistency", "lambda_lovasz", "lambda_u", "lambda_contrast", "seed")]
    + [{name: 0} for name in ("distil_from", "annuli", "queries", "negatives", "enqueued", "likeliest")]
    + [{"range_m": 0.0}, {"temperature": 0.0}, {"bank": 10}],
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        Lim3dConfig(**setting)
