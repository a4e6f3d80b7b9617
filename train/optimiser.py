"""The optimiser and its learning rate, a pure function of the step: there is no schedule to restore."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True)
class OptimConfig:
    """The defaults are LaserMix's MinkUNet18 recipe, which the paper follows outdoors (Sec. 4.2)."""

    name: Literal["sgd", "adamw"] = "sgd"  # sgd: momentum 0.9
    nesterov: bool = True  # of sgd
    peak_lr: float = 0.24
    weight_decay: float = 1e-4
    max_grad_norm: float = 0.0  # gradients are clipped to this norm; 0 = never
    class_weights: Literal["equal", "inverse_sqrt"] = "equal"  # of the labelled cross-entropy (Eq. 7)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.peak_lr) and self.peak_lr > 0):
            raise ValueError(f"peak_lr must be positive, got {self.peak_lr}")
        if min(self.weight_decay, self.max_grad_norm) < 0:
            raise ValueError("weight_decay and max_grad_norm must not be negative")


@dataclass(frozen=True)
class ScheduleConfig:
    """How long, and how the learning rate rises and falls. The defaults are LaserMix's MinkUNet18 recipe.

    warm_up: share of the steps over which the rate rises to its peak, along a line; one_cycle along a cosine.
    validate_every, checkpoint_every: in steps; the last step does both in any case.
    """

    steps: int = 25_000
    shape: Literal["one_cycle", "cosine", "poly"] = "cosine"
    warm_up: float = 0.005  # 125 of 25 000 steps
    validate_every: int = 1_000
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if min(self.steps, self.validate_every, self.checkpoint_every) < 1:
            raise ValueError("steps, validate_every and checkpoint_every must be at least 1")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up is a share of the steps and must lie in [0, 1), got {self.warm_up}")


_START = {"one_cycle": 1 / 25, "cosine": 0.008, "poly": 1e-3}
"""Share of the peak at step 0 of a warm-up; one_cycle's is OneCycleLR's of PyTorch, cosine's LaserMix's."""
_END = {"one_cycle": 1 / 25e4, "cosine": 1e-5 / 0.24, "poly": 0.0}
"""Share of the peak after the last step; cosine's is LaserMix's."""


def learning_rate(optim: OptimConfig, schedule: ScheduleConfig, step: int) -> float:
    """The rate of step 0, 1, ..., steps - 1."""
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
    """The optimiser of every trainable parameter; its rate is set by `set_rate` before each step.

    Fused: one pass over the memory of each parameter, a third of the time of AdamW's single operations.
    """
    trainable = [parameter for parameter in parameters if parameter.requires_grad]
    match config.name:
        case "sgd":
            return torch.optim.SGD(
                trainable,
                lr=config.peak_lr,
                momentum=0.9,
                nesterov=config.nesterov,
                weight_decay=config.weight_decay,
                fused=True,
            )
        case "adamw":
            return torch.optim.AdamW(
                trainable, lr=config.peak_lr, weight_decay=config.weight_decay, fused=True
            )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Let the next step use `rate`."""
    for group in optimiser.param_groups:
        group["lr"] = rate
