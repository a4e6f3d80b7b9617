from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lass3d_core.paper.exploitation import ExploitationConfig
from train.methods.cbst import Cbst, CbstConfig, balanced_labels
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.confidences import Confidences


def logits_of(*confidences: float) -> Tensor:
    """Points of two classes that are class 0 with these probabilities."""
    return torch.tensor([[math.log(p / (1 - p)), 0.0] for p in confidences])


def test_thresholds_still_tell_apart_what_a_trained_network_is_sure_of() -> None:
    """Probabilities of .9999, .99999 and .999999, which a thousand equal bins would hold in one."""
    logits = torch.tensor([[9.2, 0.0], [11.51, 0.0], [13.8, 0.0]])
    threshold = Confidences(2)
    threshold.count(logits)
    labels = balanced_labels(logits, threshold.log_thresholds(0.67))
    assert labels.tolist() == [255, 0, 0]


def test_label_is_the_class_farthest_above_its_own_threshold() -> None:
    """p / thr: (.6/.9, .4/.3) -> class 1; (.7/.9, .3/.3) -> class 1 at 1; (.8/.9, .2/.3) -> none."""
    probabilities = torch.tensor([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2], [0.95, 0.05]])
    log_thresholds = torch.tensor([0.9, 0.2999]).log().double()
    assert balanced_labels(probabilities.log(), log_thresholds).tolist() == [1, 1, 255, 0]


def test_portion_grows_by_round_up_to_its_limit() -> None:
    portions = [CbstConfig().portion_of(number) for number in range(1, 9)]
    assert portions == pytest.approx([0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.5])


def test_round_0_trains_on_labels_alone(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Cbst(CbstConfig(round_steps=2, pe=ExploitationConfig(weight=0.1)), ingredients)
    terms = method.losses(batch, 1)
    logits = method.network(batch.features, batch.pyramid)[:120]
    torch.testing.assert_close(terms["ce_l"], cross_entropy(logits, batch.labels[:120]))
    assert terms["ce_u"].item() == 0 and "pe" not in terms
    assert not method.confidences.counts.any()


def at_round_1(ingredients: Ingredients, config: CbstConfig) -> Cbst:
    """A method whose labeller is not the network any more."""
    method = Cbst(config, ingredients)
    method.network.classifier[2].bias.data += torch.arange(5.0)
    method.after_step(config.round_steps - 1)
    method.network.classifier[2].bias.data -= 2 * torch.arange(5.0)
    return method


def test_a_round_learns_from_what_the_labeller_is_sure_of(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = at_round_1(ingredients, CbstConfig(round_steps=3, lambda_u=0.5, alpha=0.0))
    terms = method.losses(batch, 3)
    with torch.no_grad():
        labels_from = method.labeller(batch.features, batch.pyramid)[120:]
    own = Confidences(5)
    own.count(labels_from)
    labels = balanced_labels(labels_from, own.log_thresholds(0.2))
    logits = method.network(batch.features, batch.pyramid)[120:]
    assert 0.15 < method.measures["pseudo_share"] < 0.5
    torch.testing.assert_close(terms["ce_u"], 0.5 * cross_entropy(logits, labels, ignore_index=255))
    assert torch.equal(own.counts, method.confidences.counts)


def test_labeller_stays_as_it_is_until_the_round_ends(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = at_round_1(ingredients, CbstConfig(round_steps=3, alpha=0.0))
    before = method.labeller.classifier[2].bias.clone()
    for step in (3, 4):
        method.losses(batch, step)
        method.after_step(step)
    assert torch.equal(method.labeller.classifier[2].bias, before)
    assert int(method.confidences.counts.sum()) == 2 * 120
    method.after_step(5)
    assert torch.equal(method.labeller.classifier[2].bias, method.network.classifier[2].bias)
    assert torch.equal(method.labeller.backbone.norm.running_var, method.network.backbone.norm.running_var)
    assert not method.confidences.counts.any()


def test_labeller_predicts_as_at_inference_and_is_not_trained(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = at_round_1(ingredients, CbstConfig(round_steps=1)).train()
    statistics = method.labeller.backbone.norm.running_mean.clone()
    sum(method.losses(batch, 1).values()).backward()
    assert torch.equal(method.labeller.backbone.norm.running_mean, statistics)
    assert all(parameter.grad is None for parameter in method.labeller.parameters())


def test_ignored_points_are_exploited_where_it_is_switched_on(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = at_round_1(ingredients, CbstConfig(round_steps=1, pe=ExploitationConfig(weight=0.1)))
    assert method.losses(batch, 1)["pe"].item() > 0


def test_a_restart_in_the_middle_of_a_round_changes_nothing(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    def train(method: Cbst, steps: range) -> None:
        optimiser = torch.optim.SGD(method.network.parameters(), lr=0.1)
        for step in steps:
            optimiser.zero_grad()
            sum(method.losses(batch, step).values()).backward()
            optimiser.step()
            method.after_step(step)

    config = CbstConfig(round_steps=2)
    through, resumed = Cbst(config, ingredients), Cbst(config, ingredients)
    train(through, range(5))
    resumed.load_state_dict(through.state_dict())
    for method in (through, resumed):
        train(method, range(5, 9))
    assert through.measures["pseudo_share"] > 0
    for key, value in through.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


@pytest.mark.parametrize(
    "setting",
    [{"alpha": 1.0}, {"portion": 0.6}, {"portion_growth": -0.1}, {"round_steps": 0}, {"lambda_u": -1.0}],
)
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        CbstConfig(**setting)
