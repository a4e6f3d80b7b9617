"""Unlabelled points help, on a task that is made so that they must.

Two classes are unit Gaussians in 16 dimensions whose means are 4 apart. Eight labelled points do not
determine the boundary: a network trained on them alone fits the noise of the other 15 dimensions. The
unlabelled points that it is sure of average this noise out.
"""

from __future__ import annotations

from functools import cache
from statistics import mean
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lass3d_core.paper.safm import TextBatch
from lass3d_core.sparse.maps import KernelPyramid, build_pyramid
from train.methods import config_type, make_method
from train.methods.contract import BatchCounts, Ingredients, SemiBatch
from train.methods.parts.votes import PhraseVotes

DIMENSIONS, POINTS, LABELLED, STEPS = 16, 400, 8, 150
SEEDS = (0, 1, 2)


class LinearBackbone(nn.Module):
    out_channels = 16

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(DIMENSIONS, self.out_channels)
        self.norm = nn.BatchNorm1d(self.out_channels)

    def forward(self, features: Tensor, pyramid: KernelPyramid) -> Tensor:
        return self.norm(self.linear(features))


def task(seed: int) -> tuple[SemiBatch, Tensor]:
    """A labelled and an unlabelled scan, and the truth (400,)."""
    truth = torch.arange(POINTS) % 2
    features = torch.randn(POINTS, DIMENSIONS, generator=torch.Generator().manual_seed(seed))
    features[:, 0] += 4 * truth - 2
    is_labelled = torch.arange(POINTS) < LABELLED
    scan = (~is_labelled).long()
    zeros = torch.zeros_like(scan)
    coords = torch.stack([scan, torch.arange(POINTS), zeros, zeros], dim=1).int()
    no_rows = torch.empty(0, 8)
    return SemiBatch(
        features,
        build_pyramid(coords, 1),
        truth.masked_fill(~is_labelled, 255),
        is_labelled,
        scan,
        image=zeros - 1,
        entity=zeros - 1,
        votes=PhraseVotes.certain(zeros - 1),
        texts=TextBatch(no_rows, (0,), no_rows, no_rows),
        counts=BatchCounts.of(scan, is_labelled, zeros - 1, zeros - 1, 0),
    ), truth


def accuracy(name: str, seed: int, **settings: Any) -> float:
    """Of the trained method on the unlabelled points. Every method starts from the same network."""
    batch, truth = task(seed)
    torch.manual_seed(seed)
    config = config_type(name)(alpha=0.9, **settings)
    method = make_method(config, Ingredients(LinearBackbone, 2, 8, None)).train()
    optimiser = torch.optim.Adam([p for p in method.parameters() if p.requires_grad], 1e-2)
    for step in range(STEPS):
        optimiser.zero_grad()
        sum(method.losses(batch, step).values()).backward()
        optimiser.step()
        method.after_step(step)
    predicted = method.predictor.eval()(batch.features, batch.pyramid).argmax(dim=1)
    return float((predicted == truth)[~batch.is_labelled].float().mean())


@cache
def labels_alone(seed: int) -> float:
    return accuracy("supervised", seed)


@pytest.mark.parametrize(
    ("name", "settings", "off"),
    [
        (
            "cbst",
            {"round_steps": 30, "portion": 0.5, "portion_growth": 0.1, "portion_limit": 0.9},
            {"lambda_u": 0.0},
        ),
        (
            "lasermix",
            {"lambda_consistency": 0.0, "tau": 0.8, "pitch_deg": (-60.0, 60.0)},
            {"lambda_mix": 0.0},
        ),
        (
            "lasermix",
            {"lambda_consistency": 2.0, "ramp_steps": 50, "tau": 0.8, "pitch_deg": (-60.0, 60.0)},
            {"lambda_mix": 0.0, "lambda_consistency": 0.0},
        ),
        (
            "mean_teacher",
            {"lambda_consistency": 5.0, "ramp_steps": 50, "noise": 0.5},
            {"lambda_consistency": 0.0, "noise": 0.0},
        ),
        ("lass3d_plus", {"strength": 0.0, "ramp_steps": 50}, {"lambda_u": 0.0}),
    ],
)
def test_method_gains_over_labels_alone_by_its_term_on_unlabelled_points(
    name: str, settings: dict[str, Any], off: dict[str, float]
) -> None:
    gains = [accuracy(name, seed, **settings) - labels_alone(seed) for seed in SEEDS]
    assert min(gains) > 0.01 and mean(gains) > 0.03
    assert accuracy(name, 0, **(settings | off)) == labels_alone(0)


def of_mean_teacher(weight: float, **settings: Any) -> list[float]:
    return [accuracy("mean_teacher", seed, lambda_consistency=weight, **settings) for seed in SEEDS]


def test_mean_teacher_gains_by_noise_of_its_own_for_each_branch_and_not_without() -> None:
    """Noise on the labelled points helps, too: the consistency must gain over noise alone."""
    alone = mean(map(labels_alone, SEEDS))
    noise_alone, both = (of_mean_teacher(weight, ramp_steps=50, noise=0.5) for weight in (0.0, 5.0))
    assert mean(both) - mean(noise_alone) > 0.05 and min(both) > max(noise_alone)
    assert mean(of_mean_teacher(5.0, ramp_steps=50)) - alone < 0.03


def test_a_ramp_keeps_a_heavy_consistency_from_a_teacher_that_has_not_learnt_yet() -> None:
    at_once, risen = (of_mean_teacher(20.0, noise=0.5, ramp_steps=steps) for steps in (0, 50))
    assert all(better > worse for better, worse in zip(risen, at_once))
    assert mean(risen) - mean(at_once) > 0.02
