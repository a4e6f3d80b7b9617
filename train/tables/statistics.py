"""Statistics over a few seeds: mean, 95 % interval, and whether a difference is distinguishable from 0."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["holds", "does not hold", "not distinguishable", "not run"]

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds and its interval, [mean - half, mean + half]. half: infinite for one seed."""

    mean: float
    half: float
    count: int

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


def interval(values: Sequence[float]) -> Interval | None:
    """The mean of `values` with Student's t interval; None if there are no values."""
    count = len(values)
    if count < 2:
        return Interval(values[0], math.inf, 1) if values else None
    from scipy import stats  # takes most of a second: not for every command

    quantile = float(stats.t.ppf((1 + LEVEL) / 2, count - 1))
    return Interval(float(np.mean(values)), quantile * float(stats.sem(values)), count)


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[int, float]:
    """ours - theirs for every seed that both have, in the order of the seeds."""
    return {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}


def verdict(difference: Interval | None) -> Verdict:
    """Whether the paired `difference` is positive, as far as its interval tells."""
    if difference is None:
        return "not run"
    if difference.low > 0:
        return "holds"
    return "does not hold" if difference.high < 0 else "not distinguishable"
