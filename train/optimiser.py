"""The optimiser and its learning rate, a pure function of the step: there is no schedule to restore."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, nn

from lass3d_core.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class OptimConfig:
    """The defaults are LaserMix's MinkUNet18 recipe, which the paper follows outdoors (Sec. 4.2)."""

    name: Literal["sgd", "adamw"] = "sgd"  # sgd: momentum 0.9
    nesterov: bool = True  # of sgd
    peak_lr: float = Field(default=0.24, gt=0)
    weight_decay: float = Field(default=1e-4, ge=0)
    max_grad_norm: float = Field(default=0.0, ge=0)  # gradients are clipped to this norm; 0 = never
    # Inner rounds of a step move along the gradient alone; see plain_step. Momentum and decay count once.
    once_per_step: bool = False
    class_weights: Literal["equal", "inverse_sqrt"] = "equal"  # of the labelled cross-entropy (Eq. 7)
    # Whether these weights count for pseudo-labels, too: as each method's file says, always, or never.
    pseudo_label_weights: Literal["as_published", "labels", "none"] = "as_published"


@dataclass(frozen=True, config=SETTINGS)
class ScheduleConfig:
    """How long training takes, and how the learning rate rises and falls.

    The defaults are LaserMix's MinkUNet18 recipe. The last step validates and saves in any case.
    """

    steps: int = Field(default=25_000, ge=1, lt=2**31)
    shape: Literal["one_cycle", "cosine", "poly"] = "cosine"
    # Share of the steps over which the rate rises to its peak: along a line, or along a cosine (one_cycle).
    warm_up: float = Field(default=0.005, ge=0, lt=1)  # 125 of 25 000 steps
    validate_every: int = Field(default=1_000, ge=1)  # steps
    # The most scans of the validation split that a validation during training sees, spread evenly over it;
    # 0: all. The evaluation at the end always sees all.
    validate_scans: int = Field(default=0, ge=0)
    checkpoint_every: int = Field(default=500, ge=1)  # steps


# Share of the peak at step 0 of a warm-up. one_cycle: as PyTorch's OneCycleLR. cosine: as LaserMix.
_START = {"one_cycle": 1 / 25, "cosine": 0.008, "poly": 1e-3}
# Share of the peak after the last step. cosine: as LaserMix.
_END = {"one_cycle": 1 / 25e4, "cosine": 1e-5 / 0.24, "poly": 0.0}


def learning_rate(optim: OptimConfig, schedule: ScheduleConfig, step: int) -> float:
    """The rate of a step in 0, 1, ..., steps - 1."""
    start, end = _START[schedule.shape], _END[schedule.shape]
    rising = schedule.warm_up * schedule.steps
    if step < rising:
        share = step / rising
        risen = (1 - math.cos(math.pi * share)) / 2 if schedule.shape == "one_cycle" else share
        return optim.peak_lr * (start + (1 - start) * risen)
    share = (step - rising) / (schedule.steps - rising)
    left = (1 - share) ** 0.9 if schedule.shape == "poly" else (1 + math.cos(math.pi * share)) / 2
    return optim.peak_lr * (end + (1 - end) * left)


def make_optimiser(config: OptimConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """An optimiser of every trainable parameter; `set_rate` sets its rate before each step."""
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    rate, decay = config.peak_lr, config.weight_decay
    # Fused: one pass over the memory of each parameter, a third of the time of AdamW's single operations.
    if config.name == "adamw":
        return torch.optim.AdamW(trainable, rate, weight_decay=decay, fused=True)
    nesterov = config.nesterov
    return torch.optim.SGD(trainable, rate, 0.9, weight_decay=decay, nesterov=nesterov, fused=True)


@torch.no_grad()
def plain_step(optimiser: torch.optim.Optimizer, norm: Tensor) -> None:
    """Move the parameters along their gradients g alone: an inner round if optim.once_per_step is set.

        sgd:    p <- p - rate g
        adamw:  p <- p - rate g / (sqrt(v) + eps), v: the unbiased mean square of the outer steps' gradients
    Neither momentum nor weight decay moves a parameter, and no state of the optimiser changes.
    norm (): of all gradients. If it is not finite, nothing moves.

    Decision: LASS3D repeats its prediction and learns in every iteration (Sec. 3.3), and says nothing of the
    optimiser. A full update in each would apply momentum and decay as often as there are iterations. So the
    method would get further optimiser steps that no control gets, also where Eq. (6) is next to nothing.
    Decision: AdamW keeps its scale v. Its rate is made for gradients that are divided by their own size; an
    undivided gradient would move a parameter by an arbitrary amount. v is that of the outer steps: a small
    gradient of an inner round then moves little, as with SGD, while AdamW's own step has the same size for
    every size of gradient. A weight that no outer step has had a gradient for has no scale and stays.
    """
    finite = norm.isfinite()
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            step = parameter.grad
            if isinstance(optimiser, torch.optim.AdamW):
                step = _scaled(step, optimiser.state.get(parameter), group)
            parameter.sub_(torch.where(finite, group["lr"] * step, 0))


def _scaled(gradient: Tensor, state: dict[str, Tensor] | None, group: dict[str, Any]) -> Tensor:
    """g / (sqrt(v) + eps) with AdamW's v, 0 where v is 0."""
    if not state:
        return torch.zeros_like(gradient)
    square = state["exp_avg_sq"]
    unbiased = square / (1 - group["betas"][1] ** state["step"])
    return torch.where(square > 0, gradient / (unbiased.sqrt() + group["eps"]), 0)


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate
