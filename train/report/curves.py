"""Line charts: from values by step to paths and ticks, which chart.html draws as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_MOST_DRAWN = 400
_MOST_DOTS = 12
_LEAST_JOINED = 3
_LEAST_SMOOTHED = 30
_SMOOTH_OVER = 1 / 20


@dataclass(frozen=True)
class Curve:
    """One run's values of one quantity. Values that are NaN are left out."""

    name: str
    steps: np.ndarray  # (n,) float64
    values: np.ndarray  # (n,) float64
    rank: int = 0  # 0 is the run that the page is about; the others are drawn quieter


@dataclass(frozen=True)
class Line:
    """A path in SVG's notation."""

    path: str  # "" if there are too few measurements for a line: two look like a trend
    rank: int
    faint: bool
    dots: tuple[tuple[float, float], ...] = ()  # (x, y) of measurements that are few enough to be told apart


@dataclass(frozen=True)
class Chart:
    """A drawing, in pixels from the upper left corner. Without lines nothing was measured."""

    title: str
    unit: str
    words: str = ""  # what the chart shows, for readers who cannot see it
    steps: tuple[tuple[float, str], ...] = ()  # place and label of each tick
    values: tuple[tuple[float, str], ...] = ()
    lines: tuple[Line, ...] = ()
    width: int = 340
    height: int = 200
    left: int = 46
    right: int = 328
    top: int = 12
    bottom: int = 174


def chart(title: str, curves: Sequence[Curve], *, unit: str = "", smooth: bool = False) -> Chart:
    """Draw `curves` against the step.

    smooth: draw a moving mean; the raw values of the page's run stay behind it, faint.
    """
    finite = [curve for curve in map(_finite, curves) if len(curve.steps)]
    if not finite:
        return Chart(title, unit)
    frame = _Frame.around(finite)
    # The page's run comes last, so that it lies on top.
    ordered = sorted(finite, key=lambda curve: -curve.rank)
    return Chart(
        title,
        unit,
        describe(finite),
        tuple((frame.x(step), _number(step)) for step in ticks_to_the_end(frame.first, frame.last)),
        tuple((frame.y(value), _number(value)) for value in ticks(frame.low, frame.high)),
        tuple(line for curve in ordered for line in _lines(curve, frame, smooth)),
    )


def describe(curves: Sequence[Curve]) -> str:
    """Say where each curve starts and ends."""
    return "; ".join(
        f"{curve.name} goes from {curve.values[0]:.3g} at step {curve.steps[0]:.0f} "
        f"to {curve.values[-1]:.3g} at step {curve.steps[-1]:.0f}"
        for curve in curves
    )


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Two to `most` round values (1, 2, 2.5 or 5 times a power of ten) in [low, high]."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / most))
    for factor in (1, 2, 2.5, 5, 10, 20, 25, 50):
        step = factor * power
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if 2 <= last - first + 1 <= most:
            return [index * step for index in range(first, last + 1)]
    return [low, high]


def ticks_to_the_end(first: float, last: float) -> list[float]:
    """`ticks`, and `last` as the last of them; a round value too near to it gives way."""
    room = (last - first) / 8
    return [*(tick for tick in ticks(first, last) if tick < last - room), last]


@dataclass(frozen=True)
class _Frame:
    """The window of the data: steps first..last, values low..high."""

    first: float
    last: float
    low: float
    high: float

    @staticmethod
    def around(curves: Sequence[Curve]) -> _Frame:
        steps = np.concatenate([curve.steps for curve in curves])
        values = np.concatenate([curve.values for curve in curves])
        low, high = float(values.min()), float(values.max())
        if 0 < low < 0.5 * high:
            low = 0.0
        pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        first, last = float(steps.min()), float(steps.max())
        bottom = low - pad if low else 0.0
        return _Frame(first, last if last > first else first + 1.0, bottom, high + pad)

    def x(self, step: float) -> float:
        share = (step - self.first) / (self.last - self.first)
        return round(float(Chart.left + share * (Chart.right - Chart.left)), 1)

    def y(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(float(Chart.bottom - share * (Chart.bottom - Chart.top)), 1)

    def path(self, steps: np.ndarray, values: np.ndarray) -> str:
        return "M" + "L".join(f"{self.x(step)} {self.y(value)}" for step, value in zip(steps, values))


def _lines(curve: Curve, frame: _Frame, smooth: bool) -> list[Line]:
    """The line of one run, behind it the raw values if it is smoothed and the page's own."""
    count = len(curve.steps)
    smooth = smooth and count > _LEAST_SMOOTHED
    drawn = np.unique(np.linspace(0, count - 1, _MOST_DRAWN).astype(int))
    values = _moving_mean(curve.values) if smooth else curve.values
    measured = zip(curve.steps, curve.values) if count <= _MOST_DOTS else ()
    dots = tuple((frame.x(step), frame.y(value)) for step, value in measured)
    path = frame.path(curve.steps[drawn], values[drawn]) if count >= _LEAST_JOINED else ""
    line = Line(path, curve.rank, False, dots)
    if not smooth or curve.rank > 0:
        return [line]
    return [Line(frame.path(curve.steps[drawn], curve.values[drawn]), curve.rank, faint=True), line]


def _finite(curve: Curve) -> Curve:
    finite = np.isfinite(curve.values) & np.isfinite(curve.steps)
    return Curve(curve.name, curve.steps[finite], curve.values[finite], curve.rank)


def _moving_mean(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the run, narrower at the ends."""
    half = max(1, round(len(values) * _SMOOTH_OVER / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return np.asarray((sums[last] - sums[first]) / (last - first))


def _number(value: float) -> str:
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.4g}"
