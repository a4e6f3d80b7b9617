from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from train.optimiser import (
    OptimConfig,
    ScheduleConfig,
    learning_rate,
    make_optimiser,
    plain_step,
    set_rate,
)

OPTIM = OptimConfig(peak_lr=0.2)
SHAPES = st.sampled_from(["one_cycle", "cosine", "poly"])


def rates(schedule: ScheduleConfig) -> list[float]:
    return [learning_rate(OPTIM, schedule, step) for step in range(schedule.steps)]


def test_one_cycle_starts_at_a_25th_of_the_peak_and_reaches_it_after_the_warm_up() -> None:
    of = rates(ScheduleConfig(steps=100, shape="one_cycle", warm_up=0.2))
    assert of[0] == pytest.approx(0.2 / 25)
    assert of[20] == pytest.approx(0.2)
    assert of[99] < 0.001


def test_cosine_warms_up_along_a_line() -> None:
    of = rates(ScheduleConfig(steps=100, shape="cosine", warm_up=0.1))
    assert of[5] - of[4] == pytest.approx(of[9] - of[8])
    assert of[55] == pytest.approx(0.1, rel=0.01)


def test_poly_falls_with_the_power_nine_tenths() -> None:
    of = rates(ScheduleConfig(steps=10, shape="poly", warm_up=0.0))
    assert of[5] == pytest.approx(0.2 * 0.5**0.9)


@given(shape=SHAPES, steps=st.integers(1, 60), warm_up=st.floats(0, 0.9))
@settings(max_examples=50, deadline=None)
def test_the_rate_rises_to_the_peak_and_then_only_falls(shape: str, steps: int, warm_up: float) -> None:
    of = rates(ScheduleConfig(steps=steps, shape=shape, warm_up=warm_up))
    top = of.index(max(of))
    assert 0 < min(of) <= max(of) <= 0.2 + 1e-12
    assert of[:top] == sorted(of[:top])
    assert of[top:] == sorted(of[top:], reverse=True)


def test_lasermix_s_warm_up_starts_at_8_thousandths_and_ends_after_125_steps() -> None:
    of = rates(ScheduleConfig())
    assert of[0] == pytest.approx(0.2 * 0.008)
    assert of[125] == pytest.approx(0.2)
    assert of[-1] == pytest.approx(0.2 * 1e-5 / 0.24, rel=0.01)


@pytest.mark.parametrize(("nesterov", "second"), [(True, 1 + 0.9 + 0.81), (False, 1 + 0.9)])
def test_nesterov_looks_one_step_ahead(nesterov: bool, second: float) -> None:
    """With a gradient that stays 1, the second step is 1.9 without looking ahead and 2.71 with it."""
    weight = nn.Parameter(torch.zeros(1))
    optimiser = make_optimiser(OptimConfig(nesterov=nesterov, weight_decay=0.0), [weight])
    set_rate(optimiser, 1.0)
    places = []
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimiser.step()
        places.append(weight.item())
    assert places[1] - places[0] == pytest.approx(-second)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_optimiser_updates_trainable_parameters_alone_at_the_rate_that_was_set(name: str) -> None:
    free, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2), requires_grad=False)
    optimiser = make_optimiser(OptimConfig(name=name, weight_decay=0.0), [free, frozen])
    set_rate(optimiser, 0.0)
    free.grad = torch.ones(2)
    optimiser.step()
    assert free.tolist() == [1.0, 1.0]
    set_rate(optimiser, 0.1)
    optimiser.step()
    assert (free < 1).all() and frozen.tolist() == [1.0, 1.0]


def one_weight(config: OptimConfig, start: float) -> tuple[nn.Parameter, torch.optim.Optimizer]:
    weight = nn.Parameter(torch.tensor([start]))
    optimiser = make_optimiser(config, [weight])
    set_rate(optimiser, 0.1)
    return weight, optimiser


def place(weight: nn.Parameter, gradient: float, step: Callable[[], object]) -> float:
    """Where the weight is after `step` with this gradient."""
    weight.grad = torch.tensor([gradient])
    step()
    return weight.item()


def test_a_plain_step_of_sgd_has_no_momentum_and_no_decay_and_leaves_both_as_they_were() -> None:
    """Worked by hand, momentum 0.9, decay 0.5, rate 0.1.

    Outer step at 2, gradient 1: velocity 1 + 0.5 * 2 = 2, so 2 - 0.2. Plain step, gradient 3: 0.3 less.
    Outer step at 1.5, gradient 1: velocity 0.9 * 2 + 1 + 0.5 * 1.5 = 3.55, so 1.5 - 0.355.
    """
    weight, optimiser = one_weight(OptimConfig("sgd", nesterov=False, weight_decay=0.5), 2.0)
    plain = partial(plain_step, optimiser, torch.tensor(3.0))
    assert place(weight, 1.0, optimiser.step) == pytest.approx(1.8)
    assert place(weight, 3.0, plain) == pytest.approx(1.5)
    assert place(weight, 1.0, optimiser.step) == pytest.approx(1.145)


def test_a_plain_step_of_adamw_is_divided_by_the_scale_of_the_outer_steps() -> None:
    """Worked by hand, decay 0.5, rate 0.1.

    Outer step at 2, gradient 4: 2 * (1 - 0.05) - 0.1 * 4 / 4 = 1.8. Plain step, gradient 1: v is 16 still, so
    0.1 * 1 / 4 less. A plain step that is far smaller moves far less, AdamW's own as much as any.
    """
    weight, optimiser = one_weight(OptimConfig("adamw", weight_decay=0.5), 2.0)
    plain = partial(plain_step, optimiser, torch.tensor(1.0))
    assert place(weight, 4.0, optimiser.step) == pytest.approx(1.8)
    before = {name: value.clone() for name, value in optimiser.state[weight].items()}
    assert place(weight, 1.0, plain) == pytest.approx(1.775)
    assert place(weight, 1e-4, plain) == pytest.approx(1.775 - 2.5e-6)
    assert before == dict(optimiser.state[weight].items())


def test_a_plain_step_moves_nothing_without_a_scale_or_with_a_gradient_that_is_not_finite() -> None:
    weight, optimiser = one_weight(OptimConfig("adamw"), 2.0)
    assert place(weight, 5.0, partial(plain_step, optimiser, torch.tensor(5.0))) == 2
    weight, optimiser = one_weight(OptimConfig("sgd"), 2.0)
    assert place(weight, math.inf, partial(plain_step, optimiser, torch.tensor(math.inf))) == 2
    weight.grad = None
    plain_step(optimiser, torch.tensor(0.0))
    assert weight.item() == 2


@pytest.mark.parametrize("wrong", [{"peak_lr": 0.0}, {"weight_decay": -1.0}, {"peak_lr": float("nan")}])
def test_an_impossible_optimiser_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimConfig(**wrong)
