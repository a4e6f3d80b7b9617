from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from train.methods.contract import Ingredients, SemiBatch
from train.methods.cps import Cps, CpsConfig


def logits_of(method: Cps, batch: SemiBatch) -> tuple[Tensor, Tensor]:
    return method.network(batch.features, batch.pyramid), method.second(batch.features, batch.pyramid)


def test_the_networks_start_apart_and_the_average_with_the_first(ingredients: Ingredients) -> None:
    method = Cps(CpsConfig(), ingredients)
    first, second, averaged = (
        dict(network.named_parameters()) for network in (method.network, method.second, method.predictor)
    )
    assert not torch.equal(first["backbone.linear.weight"], second["backbone.linear.weight"])
    assert all(torch.equal(first[name], averaged[name]) for name in first)


def test_each_network_learns_the_labels_and_the_classes_of_the_other_on_all_points(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = Cps(CpsConfig(lambda_cps=2.0), ingredients)
    terms = method.losses(batch, 0)
    first, second = logits_of(method, batch)
    own = cross_entropy(first[:120], batch.labels[:120]) + cross_entropy(second[:120], batch.labels[:120])
    crossed = cross_entropy(first, second.argmax(1)) + cross_entropy(second, first.argmax(1))
    torch.testing.assert_close(terms, {"ce_l": own, "cps": 2 * crossed})
    assert method.measures["labelled_points"] == 120
    assert method.measures["agreement"] == float((first.argmax(1) == second.argmax(1)).float().mean())


def test_class_weights_count_for_labels_alone(batch: SemiBatch, ingredients: Ingredients) -> None:
    weights = torch.arange(1.0, 6.0)
    method = Cps(CpsConfig(), replace(ingredients, class_weights=weights))
    terms = method.losses(batch, 0)
    first, second = logits_of(method, batch)
    crossed = cross_entropy(first, second.argmax(1)) + cross_entropy(second, first.argmax(1))
    torch.testing.assert_close(terms["cps"], 1.5 * crossed)


def test_networks_that_agree_with_certainty_have_nothing_left_to_learn_from_each_other(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    """Each is sure of a class of its own: a loss of 100 on both sides. Once they agree, none is left."""
    method = Cps(CpsConfig(), ingredients)
    for network, sure_of in ((method.network, 0), (method.second, 3)):
        network.classifier[2].weight.data.zero_()
        network.classifier[2].bias.data = 100.0 * (torch.arange(5) == sure_of)
    assert method.losses(batch, 0)["cps"].item() == pytest.approx(1.5 * 200)
    method.second.load_state_dict(method.network.state_dict())
    assert method.losses(batch, 0)["cps"].item() == 0


def test_both_networks_are_trained_and_the_average_is_not(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Cps(CpsConfig(), ingredients)
    sum(method.losses(batch, 0).values()).backward()
    for network in (method.network, method.second):
        assert all(bool(parameter.grad.any()) for parameter in network.classifier.parameters())
    assert all(parameter.grad is None for parameter in method.predictor.parameters())


def test_predictor_is_the_average_of_the_first_network_with_its_statistics(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = Cps(CpsConfig(alpha=0.75), ingredients)
    before = method.predictor.backbone.linear.weight.clone()
    method.losses(batch, 100)
    method.network.backbone.linear.weight.data += 4.0
    method.after_step(100)
    torch.testing.assert_close(method.predictor.backbone.linear.weight, before + 1.0)
    statistics = method.network.backbone.norm.running_mean / 4
    torch.testing.assert_close(method.predictor.backbone.norm.running_mean, statistics)


def test_an_alpha_of_zero_evaluates_the_first_network(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Cps(CpsConfig(alpha=0.0), ingredients)
    method.network.backbone.linear.weight.data += 4.0
    method.after_step(100)
    assert torch.equal(method.predictor.backbone.linear.weight, method.network.backbone.linear.weight)


@pytest.mark.parametrize("setting", [{"alpha": 1.0}, {"lambda_cps": -1.0}])
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        CpsConfig(**setting)
