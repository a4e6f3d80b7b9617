from __future__ import annotations

import pytest
import torch

from train.methods.contract import Ingredients, SemiBatch
from train.methods.mean_teacher import MeanTeacher, MeanTeacherConfig


def test_consistency_is_zero_while_the_branches_are_equal(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = MeanTeacher(MeanTeacherConfig(), ingredients)
    assert method.losses(batch, 0)["consistency"].item() == 0
    assert method.measures == {"labelled_points": 120, "agreement": 1}


def test_consistency_is_the_weighted_mean_square_on_all_points(
    batch: SemiBatch, ingredients: Ingredients
) -> None:
    method = MeanTeacher(MeanTeacherConfig(lambda_consistency=3.0), ingredients)
    method.student.classifier[2].bias.data += torch.arange(5.0)
    student, teacher = (
        branch(batch.features, batch.pyramid).softmax(1) for branch in (method.student, method.teacher)
    )
    torch.testing.assert_close(
        method.losses(batch, 0)["consistency"], 3 * (student - teacher).square().mean()
    )


def test_no_gradient_reaches_the_teacher(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = MeanTeacher(MeanTeacherConfig(), ingredients)
    method.student.classifier[2].bias.data += torch.arange(5.0)
    sum(method.losses(batch, 0).values()).backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    assert all(bool(parameter.grad.any()) for parameter in method.student.classifier.parameters())


def test_teacher_keeps_statistics_of_its_own(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = MeanTeacher(MeanTeacherConfig(), ingredients)
    method.student.backbone.linear.bias.data += 5.0
    method.losses(batch, 0)
    own = method.teacher.backbone.norm.running_mean.clone()
    method.after_step(5)
    assert bool(own.any()) and torch.equal(own, method.teacher.backbone.norm.running_mean)
    assert not torch.allclose(own, method.student.backbone.norm.running_mean)


def test_after_step_averages_the_student(batch: SemiBatch, ingredients: Ingredients) -> None:
    method = MeanTeacher(MeanTeacherConfig(alpha=0.75), ingredients)
    before = method.predictor.classifier[0].weight.clone()
    method.student.classifier[0].weight.data += 4.0
    method.after_step(100)
    torch.testing.assert_close(method.predictor.classifier[0].weight, before + 1.0)


@pytest.mark.parametrize("setting", [{"alpha": 1.5}, {"lambda_consistency": -1.0}])
def test_value_out_of_range_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        MeanTeacherConfig(**setting)
