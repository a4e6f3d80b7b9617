from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from train.methods.contract import Ingredients, SemiBatch
from train.methods.supervised import Supervised, SupervisedConfig


def test_unlabelled_scans_do_not_count(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Supervised(SupervisedConfig(), ingredients)
    expected = torch.nn.functional.cross_entropy(
        method.network(batch.features, batch.pyramid)[batch.is_labelled], batch.labels[batch.is_labelled]
    )
    torch.testing.assert_close(method.losses(batch, 0), {"ce_l": expected})
    assert method.measures == {"labelled_points": 120}


def test_class_weights_are_used(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Supervised(SupervisedConfig(), replace(ingredients, class_weights=torch.arange(1.0, 6.0)))
    logits = method.network(batch.features, batch.pyramid)
    expected = torch.nn.functional.cross_entropy(
        logits, batch.labels, torch.arange(1.0, 6.0), ignore_index=255
    )
    torch.testing.assert_close(method.losses(batch, 0)["ce_l"], expected)


def test_class_weights_are_no_part_of_a_checkpoint(ingredients: Ingredients) -> None:
    weighted = Supervised(SupervisedConfig(), replace(ingredients, class_weights=torch.ones(5)))
    assert weighted.state_dict().keys() == Supervised(SupervisedConfig(), ingredients).state_dict().keys()


def test_predictor_is_the_average_with_its_statistics(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Supervised(SupervisedConfig(alpha=0.5), ingredients)
    before = method.predictor.backbone.linear.weight.clone()
    method.losses(batch, 7)
    method.network.backbone.linear.weight.data += 1.0
    method.after_step(7)
    torch.testing.assert_close(method.predictor.backbone.linear.weight, before + 0.5)
    torch.testing.assert_close(
        method.predictor.backbone.norm.running_mean, method.network.backbone.norm.running_mean / 2
    )


def test_predictor_learns_the_labelled_scans(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = Supervised(SupervisedConfig(alpha=0.9), ingredients)
    optimiser = torch.optim.Adam(method.parameters(), 1e-2)
    for step in range(60):
        optimiser.zero_grad()
        method.losses(batch, step)["ce_l"].backward()
        optimiser.step()
        method.after_step(step)
    prediction = method.predictor.eval()(batch.features, batch.pyramid).argmax(1)
    assert float((prediction == batch.labels)[batch.is_labelled].float().mean()) > 0.9


def test_alpha_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="alpha"):
        SupervisedConfig(alpha=1.0)
