"""What a few seeds say: means, 95 % intervals, and whether a difference can be told from none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

Verdict = Literal["holds", "does not hold", "not distinguishable", "not run"]

LEVEL = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean over `count` seeds, and its interval mean - half ... mean + half, infinite for one seed."""

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
    """The mean of `values` with Student's interval for it; None where there are none.

    One value bounds nothing: its interval is the whole line.
    """
    count = len(values)
    if count == 0:
        return None
    if count == 1:
        return Interval(values[0], math.inf, 1)
    spread = float(np.std(values, ddof=1))
    return Interval(float(np.mean(values)), t_quantile(count) * spread / math.sqrt(count), count)


def t_quantile(count: int) -> float:
    """How many standard errors the interval of `count` values reaches to each side."""
    return float(special.stdtrit(count - 1, (1 + LEVEL) / 2))


def differences(ours: Mapping[int, float], theirs: Mapping[int, float]) -> dict[int, float]:
    """ours - theirs for every seed that both have, in the order of the seeds."""
    return {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}


def verdict(difference: Interval | None) -> Verdict:
    """Whether it holds that the paired `difference` is positive, as far as its interval tells."""
    if difference is None:
        return "not run"
    if difference.low > 0:
        return "holds"
    return "does not hold" if difference.high < 0 else "not distinguishable"
