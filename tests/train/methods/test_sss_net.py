from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lass3d_core.nets import superpoint_segmenter
from lass3d_core.nets.superpoints import SuperpointConfig, Superpoints, mean_by_superpoint
from lass3d_core.paper.exploitation import ExploitationConfig
from lass3d_core.sparse.maps import build_pyramid
from train.methods.contract import Ingredients, SemiBatch
from train.methods.sss_net import SssNet, SssNetConfig, edge_loss, smoothness, vote

LOOSE = SuperpointConfig(angle_deg=90.0, colour_step=0.3)
"""Colour alone, in the wide units of the batch's features: regions of several voxels."""
SMALL = SssNetConfig(regions=LOOSE, round_steps=3, tau=0.25, smallest=2, alpha=0.0)


def regions_of(*of_voxel: int) -> Superpoints:
    rows = torch.tensor(of_voxel)
    return Superpoints(rows, torch.bincount(rows), torch.zeros(len(rows), 2, dtype=torch.bool))


def test_votes_of_more_than_half_of_a_superpoint_label_all_of_it_and_else_none() -> None:
    """Of four voxels three vote 2: all get 2. Of four, two vote 1: none. Of three, 0 0 1: all get 0."""
    regions = regions_of(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2)
    votes = torch.tensor([2, 2, 2, 255, 1, 1, 255, 255, 0, 0, 1])
    assert vote(votes, regions, 3, 0.5, 1).tolist() == [2, 2, 2, 2, 255, 255, 255, 255, 0, 0, 0]


def test_a_superpoint_that_is_too_small_has_no_say() -> None:
    regions, votes = regions_of(0, 1, 1), torch.tensor([2, 1, 1])
    assert vote(votes, regions, 3, 0.5, 2).tolist() == [255, 1, 1]


def test_edge_loss_by_hand() -> None:
    """p = .8 for an edge, .5 for none, .5 for an edge, .25 for none."""
    logits = torch.tensor([[math.log(4), 0.0], [0.0, -math.log(3)]])
    truth = torch.tensor([[True, False], [True, False]])
    expected = -(math.log(0.8) + math.log(0.5) + math.log(0.5) + math.log(0.75)) / 4
    assert edge_loss(logits, truth).item() == pytest.approx(expected)


def test_smoothness_by_hand() -> None:
    """(1, 0) and (3, 4) are (1, 2) away from their mean; the third is alone."""
    features = torch.tensor([[1.0, 0.0], [3.0, 4.0], [9.0, 9.0]])
    assert smoothness(features, regions_of(0, 0, 1)).item() == pytest.approx((1 + 4 + 1 + 4) / 6)


def test_classifier_sees_what_the_superpoint_is_like(batch: SemiBatch, ingredients: Ingredients) -> None:
    network = SssNet(SMALL, ingredients).predictor
    regions = network.superpoints(batch.features, batch.pyramid)
    assert 10 < len(regions.size) < 150
    embedded = network.backbone(batch.features, batch.pyramid)
    aggregated = embedded + network.aggregation(mean_by_superpoint(embedded, regions)[regions.of_voxel])
    expected = network.classifier(aggregated)
    torch.testing.assert_close(network(batch.features, batch.pyramid), expected)


def test_round_0_trains_on_labels_and_superpoints(batch: SemiBatch, ingredients: Ingredients) -> None:
    config = replace(SMALL, lambda_edge=2.0, lambda_smooth=3.0, pe=ExploitationConfig(weight=0.1))
    method = SssNet(config, ingredients)
    terms = method.losses(batch, 2)
    regions = method.network.superpoints(batch.features, batch.pyramid)
    embedded = method.network.backbone(batch.features, batch.pyramid)
    logits = method.network(batch.features, batch.pyramid)[:120]
    torch.testing.assert_close(
        terms,
        {
            "ce_l": cross_entropy(logits, batch.labels[:120]),
            "edge": 2 * edge_loss(method.edges(embedded), regions.on_edge),
            "smooth": 3 * smoothness(embedded, regions),
        },
    )
    assert terms["smooth"].item() > 0


def at_round_1(ingredients: Ingredients, config: SssNetConfig = SMALL) -> SssNet:
    """A method whose labeller is not the network any more."""
    method = SssNet(config, ingredients)
    method.network.classifier[2].weight.data *= 5
    method.after_step(config.round_steps - 1)
    method.network.classifier[2].bias.data += torch.arange(5.0)
    return method


def labels_of(method: SssNet, batch: SemiBatch) -> Tensor:
    """Pseudo-labels of the unlabelled voxels, superpoint by superpoint."""
    with torch.no_grad():
        confidence, predicted = method.labeller.eval()(batch.features, batch.pyramid).softmax(1).max(1)
    regions = method.network.superpoints(batch.features, batch.pyramid)
    labels = torch.full_like(predicted, 255)
    for region, size in enumerate(regions.size.tolist()):
        rows = (regions.of_voxel == region).nonzero().squeeze(1)
        votes = predicted[rows][confidence[rows] >= method.config.tau].tolist()
        for index in set(votes):
            if size >= method.config.smallest and votes.count(index) > method.config.majority * size:
                labels[rows] = index
    return labels[120:]


def test_a_round_learns_from_what_superpoints_agree_on(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = at_round_1(ingredients, replace(SMALL, lambda_u=0.5))
    terms = method.losses(batch, 3)
    labels = labels_of(method, batch)
    logits = method.network(batch.features, batch.pyramid)[120:]
    assert 0.1 < method.measures["pseudo_share"] < 0.95
    assert method.measures["pseudo_share"] == pytest.approx(float((labels != 255).float().mean()))
    torch.testing.assert_close(terms["ce_u"], 0.5 * cross_entropy(logits, labels, ignore_index=255))


def test_labeller_changes_when_a_round_ends(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = at_round_1(ingredients)
    before = method.labeller.classifier[2].bias.clone()
    for step in (3, 4):
        method.losses(batch, step)
        method.after_step(step)
    assert torch.equal(method.labeller.classifier[2].bias, before)
    method.after_step(5)
    assert torch.equal(method.labeller.classifier[2].bias, method.network.classifier[2].bias)
    assert torch.equal(method.labeller.backbone.norm.running_var, method.network.backbone.norm.running_var)


def test_labeller_is_not_trained_and_everything_else_is(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = at_round_1(ingredients).train()
    sum(method.losses(batch, 3).values()).backward()
    trained = {name.split(".")[0] for name, value in method.named_parameters() if value.grad is not None}
    assert trained == {"network", "edges"}
    assert bool(method.network.aggregation.weight.grad.any()) and bool(method.edges.weight.grad.any())


def test_points_without_a_label_are_exploited_where_it_is_switched_on(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = at_round_1(ingredients, replace(SMALL, pe=ExploitationConfig(weight=0.1)))
    assert method.losses(batch, 3)["pe"].item() > 0


def test_a_batch_without_unlabelled_scans_is_no_obstacle(batch: SemiBatch, ingredients: Ingredients) -> None:
    labelled = batch.is_labelled
    alone = replace(
        batch,
        **{name: getattr(batch, name)[labelled] for name in ("features", "labels", "is_labelled", "scan")},
        pyramid=build_pyramid(batch.pyramid.coords[0][labelled], 1),
    )
    terms = at_round_1(ingredients, replace(SMALL, pe=ExploitationConfig(weight=0.1))).losses(alone, 3)
    assert terms["ce_u"].item() == terms["pe"].item() == 0 and terms["ce_l"].item() > 0


def test_a_restart_in_the_middle_of_a_round_changes_nothing(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    def train(method: SssNet, steps: range) -> None:
        optimiser = torch.optim.SGD([*method.network.parameters(), *method.edges.parameters()], lr=0.1)
        for step in steps:
            optimiser.zero_grad()
            sum(method.losses(batch, step).values()).backward()
            optimiser.step()
            method.after_step(step)

    config = replace(SMALL, alpha=0.5)
    through, resumed = SssNet(config, ingredients), SssNet(config, ingredients)
    train(through, range(4))
    resumed.load_state_dict(through.state_dict())
    for method in (through, resumed):
        train(method, range(4, 8))
    for key, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize(
    "setting",
    [{"alpha": 1.0}, {"tau": 1.1}, {"majority": -0.1}, {"smallest": 0}, {"round_steps": 0}]
    + [{name: -1.0} for name in ("lambda_u", "lambda_edge", "lambda_smooth")],
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        SssNetConfig(**setting)


def test_superpoints_are_found_once_a_batch(
    batch: SemiBatch, ingredients: Ingredients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Student and labeller share them."""
    method, found = at_round_1(ingredients, SMALL), []
    once = superpoint_segmenter.superpoints
    monkeypatch.setattr(
        superpoint_segmenter, "superpoints", lambda *given: found.append(given) or once(*given)
    )
    method.losses(batch, 3)
    assert len(found) == 1
