from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from train.methods import config_type, make_method
from train.methods.contract import Ingredients, SemiBatch
from train.methods.parts.noise import noisy


def test_coordinates_are_shifted_in_metres_and_the_others_by_a_share() -> None:
    """x = 40 m and an intensity of 200; noise 0.1 is 0.1 m and 20 of intensity. What is 0 stays 0."""
    features = torch.tensor([40.0, 0.0, -2.0, 200.0, 0.0]).repeat(20_000, 1)
    torch.manual_seed(0)
    found = noisy(features, 0.1)
    assert found.mean(dim=0).tolist() == pytest.approx([40, 0, -2, 200, 0], abs=0.5)
    assert found.std(dim=0).tolist() == pytest.approx([0.1, 0.1, 0.1, 20, 0], rel=0.02)


def test_the_generator_decides_the_draw_and_no_two_draws_of_a_step_are_the_same() -> None:
    features = torch.ones(5, 4)
    torch.manual_seed(3)
    first, second = noisy(features, 0.1), noisy(features, 0.1)
    torch.manual_seed(3)
    assert torch.equal(noisy(features, 0.1), first) and not torch.equal(first, second)


def test_without_noise_the_features_stay_and_nothing_is_drawn() -> None:
    features, before = torch.ones(5, 4), torch.get_rng_state()
    assert noisy(features, 0.0) is features
    assert torch.equal(torch.get_rng_state(), before)


def seen_by_both(name: str, noise: float, batch: SemiBatch, ingredients: Ingredients) -> list[Tensor]:
    """The features that the student's and the teacher's backbone get in step 0."""
    torch.manual_seed(0)
    method: Any = make_method(config_type(name)(noise=noise), ingredients).train()
    seen: list[Tensor] = []
    for branch in (method.student, method.teacher):
        branch.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.losses(batch, 0)
    return seen


@pytest.mark.parametrize("name", ["mean_teacher", "lim3d"])
def test_student_and_teacher_see_the_same_voxels_with_noise_of_their_own(
    name: str, batch: SemiBatch, ingredients: Ingredients
) -> None:
    student, teacher = seen_by_both(name, 0.05, batch, ingredients)
    assert student.shape == teacher.shape == batch.features.shape
    for one in (student, teacher, student - teacher + batch.features):
        away = (one - batch.features)[:, :3].std().item()
        assert 0.04 < away < 0.08  # 0.05 each, so 0.07 between them
    assert all(one is batch.features for one in seen_by_both(name, 0.0, batch, ingredients))


@pytest.mark.parametrize("name", ["mean_teacher", "lim3d"])
def test_noise_gives_equal_branches_something_to_agree_on(
    name: str, batch: SemiBatch, ingredients: Ingredients
) -> None:
    def agreement(noise: float) -> float:
        torch.manual_seed(0)
        method = make_method(config_type(name)(noise=noise), ingredients).train()
        return method.losses(batch, 0)["consistency"].item()

    assert agreement(0.0) == pytest.approx(0, abs=1e-6)
    assert agreement(0.2) > 1e-4


@pytest.mark.parametrize("name", ["mean_teacher", "lim3d"])
def test_negative_noise_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="noise"):
        config_type(name)(noise=-0.1)
