from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from lass3d_core.nets.superpoints import SuperpointConfig
from lass3d_core.paper.exploitation import ExploitationConfig
from train.methods import METHODS, config_type, make_method
from train.methods.contract import Ingredients, Method, SemiBatch
from train.methods.parts.branches import AveragedNetwork
from train.methods.parts.ramp import ramp

LOOSE = SuperpointConfig(angle_deg=90.0, colour_step=0.3)
PE = ExploitationConfig(weight=0.1, tau_n=1.0)
# The method, its settings, its first step with the terms, and the terms that rise.
RISING: list[tuple[str, dict[str, Any], int, tuple[str, ...]]] = [
    ("mean_teacher", {}, 0, ("consistency",)),
    ("cps", {}, 0, ("cps",)),
    ("lasermix", {"pe": PE, "tau": 0.25}, 0, ("ce_mix", "consistency", "pe")),
    ("ignet", {"lambda_mix": 0.0}, 0, ("consistency",)),
    ("lim3d", {"distil_from": 50}, 0, ("consistency",)),
    ("lim3d", {"distil_from": 1, "pe": PE}, 1, ("ce_u", "contrast", "pe")),
    ("cbst", {"round_steps": 10, "pe": PE}, 10, ("ce_u", "pe")),
    ("cbst", {"round_steps": 10, "first_round_steps": 7}, 7, ("ce_u",)),
    (
        "sss_net",
        {"round_steps": 10, "pe": PE, "tau": 0.25, "smallest": 2, "regions": LOOSE},
        10,
        ("ce_u", "pe"),
    ),
    ("gpc", {"labels_first": 5, "pe": PE, "gate": 0.5, "anchors": 50}, 5, ("contrast", "pe")),
    ("lass3d", {"tau_r": 0.25, "tau_n": 1.0}, 0, ("ce_u", "pe")),
    ("lass3d", {"tau_r": 0.25, "tau_n": 1.0, "pe_form": "single_pass"}, 0, ("ce_u", "pe")),
    ("lass3d_plus", {"tau_text": 0.0, "tau_free": 0.0}, 0, ("ce_u",)),
]


def test_the_factor_rises_along_a_line_and_stays_1() -> None:
    assert [ramp(step, 4) for step in range(-3, 7)] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1]


@pytest.mark.parametrize("ramp_steps", [0, 1])
def test_without_a_ramp_the_factor_is_1_from_the_first_step_on(ramp_steps: int) -> None:
    assert [ramp(step, ramp_steps) for step in (0, 1, 1000)] == [1, 1, 1]


def test_every_method_but_the_supervised_one_has_the_ramp() -> None:
    having = {name for name in METHODS if hasattr(config_type(name)(), "ramp_steps")}
    assert having == {name for name, *_ in RISING} == {*METHODS} - {"supervised"}
    of_others = [config_type(name)().ramp_steps for name in having - {"lass3d_plus"}]
    assert set(of_others) == {0}


@pytest.fixture
def terms_of(batch: SemiBatch, ingredients: Ingredients) -> Callable[..., dict[str, Tensor]]:
    """The terms of a step of a method in which student and teacher differ."""

    def of(name: str, settings: dict[str, Any], step: int, at: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        method = make_method(config_type(name)(**settings), ingredients).train()
        apart(method)
        if step:
            method.after_step(step - 1)  # a round or the distillation begins
        method.losses(batch, at)  # fills GPC's banks
        return method.losses(batch, at)

    return of


def apart(method: Method) -> None:
    """Move a student away from its teacher, and let a network without one predict several classes."""
    if isinstance(method, AveragedNetwork):
        method.network.classifier[2].weight.data *= 5
    else:
        student: Any = getattr(method, "student", method)
        student.classifier[2].bias.data += torch.arange(5.0)


@pytest.mark.parametrize(("name", "settings", "first", "rising"), RISING)
def test_a_term_is_a_quarter_at_its_first_step_and_whole_at_the_fourth(
    name: str,
    settings: dict[str, Any],
    first: int,
    rising: tuple[str, ...],
    terms_of: Callable[..., dict[str, Tensor]],
) -> None:
    for at, share in ((first, 0.25), (first + 3, 1.0)):
        whole, risen = (terms_of(name, settings | {"ramp_steps": of}, first, at) for of in (0, 4))
        assert set(rising) <= set(whole)
        for term, value in whole.items():
            assert value.item() != 0 or term not in rising, term
            torch.testing.assert_close(risen[term], value * (share if term in rising else 1))


def test_the_further_rounds_of_lass3d_rise_too(batch: SemiBatch, ingredients: Ingredients) -> None:
    def of_round_2(ramp_steps: int) -> float:
        torch.manual_seed(0)
        config = config_type("lass3d")(tau_n=1.0, ramp_steps=ramp_steps)
        method = make_method(config, ingredients).train()
        method.losses(batch, 0)
        return next(method.further_losses(batch, 0))["pe"].item()

    assert of_round_2(4) == pytest.approx(of_round_2(0) / 4) and of_round_2(0) > 0


def test_mixed_scans_rise_in_lovasz_alone_and_in_ignet_by_their_consistency(
    terms_of: Callable[..., dict[str, Tensor]],
) -> None:
    """What does not rise is measured with the weight of what does at 0."""
    lovasz = {"lambda_lovasz": 1.0, "tau": 0.0}
    labels, both, risen = (
        terms_of("lasermix", lovasz | more, 0, 0)["lovasz"].item()
        for more in ({"lambda_mix": 0.0}, {}, {"ramp_steps": 4})
    )
    assert risen == pytest.approx(labels + (both - labels) / 4)
    fixed, both, risen = (
        terms_of("ignet", more, 0, 0)["mix"].item()
        for more in ({"lambda_consistency": 0.0}, {}, {"ramp_steps": 4})
    )
    assert risen == pytest.approx(fixed + (both - fixed) / 4)
