"""Line charts as inline SVG: no script, both colour schemes, several runs over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from train.report.markup import Markup, element, join

WIDTH, HEIGHT = 340, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 12, 26
_MOST_DRAWN = 400
_SMOOTH_OVER = 1 / 20


@dataclass(frozen=True)
class Curve:
    """One run's values of one quantity. steps (n,) and values (n,) float64; NaN values are left out.

    rank: 0 is the run that the page is about; higher ranks are its siblings, drawn quieter.
    """

    name: str
    steps: np.ndarray
    values: np.ndarray
    rank: int = 0


def chart(title: str, curves: Sequence[Curve], *, unit: str = "", smooth: bool = False) -> Markup:
    """A figure of `curves` against the step. smooth: the raw values stay, faint, behind a moving mean.

    A quantity without a single finite value gets a line that says so instead of an empty frame.
    """
    finite = [_finite(curve) for curve in curves]
    finite = [curve for curve in finite if len(curve.steps)]
    heading = element("figcaption", title, element("span", f" {unit}", class_="unit") if unit else None)
    if not finite:
        return element(
            "figure", heading, element("p", "Not recorded in this run.", class_="absent"), class_="chart"
        )
    frame = _Frame.around(finite)
    ordered = sorted(finite, key=lambda curve: -curve.rank)
    drawing = element(
        "svg",
        _axes(frame),
        *[_line(curve, frame, smooth and len(curve.steps) > 30) for curve in ordered],
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{title}: {describe(finite)}",
        xmlns="http://www.w3.org/2000/svg",
    )
    return element("figure", heading, drawing, class_="chart")


def describe(curves: Sequence[Curve]) -> str:
    """What the chart shows, in words, for readers who cannot see it."""
    return "; ".join(
        f"{curve.name} goes from {curve.values[0]:.3g} at step {curve.steps[0]:.0f} "
        f"to {curve.values[-1]:.3g} at step {curve.steps[-1]:.0f}"
        for curve in curves
    )


def legend(names: Sequence[str]) -> Markup:
    """Which stroke is which run, in rank order; one legend serves all charts of the page."""
    items = [
        element(
            "li",
            element(
                "svg", _stroke("M0 5H30", rank), viewBox="0 0 30 10", width=30, height=10, aria_hidden="true"
            ),
            name,
        )
        for rank, name in enumerate(names)
    ]
    return element("ul", *items, class_="legend strokes")


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


@dataclass(frozen=True)
class _Frame:
    """The data window (steps left..right, values low..high) and its place in the drawing."""

    left: float
    right: float
    low: float
    high: float

    @staticmethod
    def around(curves: Sequence[Curve]) -> _Frame:
        steps = np.concatenate([curve.steps for curve in curves])
        values = np.concatenate([curve.values for curve in curves])
        low, high = float(values.min()), float(values.max())
        if low > 0 and low < 0.5 * high:
            low = 0.0
        pad = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
        bottom = low if low == 0 else low - pad
        left, right = float(steps.min()), float(steps.max())
        return _Frame(left, right if right > left else left + 1.0, bottom, high + pad)

    def x(self, steps: np.ndarray | float) -> np.ndarray | float:
        return _LEFT + (steps - self.left) / (self.right - self.left) * (WIDTH - _LEFT - _RIGHT)

    def y(self, values: np.ndarray | float) -> np.ndarray | float:
        return HEIGHT - _BOTTOM - (values - self.low) / (self.high - self.low) * (HEIGHT - _TOP - _BOTTOM)


def _axes(frame: _Frame) -> Markup:
    parts: list[Markup] = []
    for value in ticks(frame.low, frame.high):
        y = f"{frame.y(value):.1f}"
        parts.append(element("line", x1=_LEFT, x2=WIDTH - _RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(element("text", _number(value), x=_LEFT - 6, y=y, dy="0.34em", text_anchor="end"))
    for step in ticks(frame.left, frame.right):
        x = f"{frame.x(step):.1f}"
        parts.append(element("text", _number(step), x=x, y=HEIGHT - 8, text_anchor="middle"))
    return element("g", *parts, class_="axes")


def _line(curve: Curve, frame: _Frame, smooth: bool) -> Markup:
    kept = np.unique(np.linspace(0, len(curve.steps) - 1, _MOST_DRAWN).astype(int))
    steps = curve.steps[kept]
    raw = _stroke(_path(frame.x(steps), frame.y(curve.values[kept])), curve.rank, faint=smooth)
    if smooth and curve.rank > 0:
        raw = None
    shown = _moving_mean(curve.values)[kept] if smooth else None
    line = _stroke(_path(frame.x(steps), frame.y(shown)), curve.rank) if shown is not None else None
    return join(raw, line, _dots(curve, frame))


def _dots(curve: Curve, frame: _Frame) -> Markup:
    """Dots where measurements are few enough to be told apart, so that a single one is visible at all."""
    if len(curve.steps) > 12:
        return Markup()
    return join(
        *[
            element(
                "circle",
                cx=f"{frame.x(step):.1f}",
                cy=f"{frame.y(value):.1f}",
                r=2.4,
                class_=f"dot run-{curve.rank}",
            )
            for step, value in zip(curve.steps, curve.values)
        ]
    )


def _stroke(path: str, rank: int, faint: bool = False) -> Markup:
    return element("path", d=path, class_=f"line run-{rank}{' faint' if faint else ''}")


def _path(x: np.ndarray | float, y: np.ndarray | float) -> str:
    points = [f"{a:.1f} {b:.1f}" for a, b in zip(np.atleast_1d(x), np.atleast_1d(y))]
    return "M" + "L".join(points)


def _finite(curve: Curve) -> Curve:
    keep = np.isfinite(curve.values) & np.isfinite(curve.steps)
    return Curve(curve.name, curve.steps[keep], curve.values[keep], curve.rank)


def _moving_mean(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of a twentieth of the run, narrower at the ends."""
    half = max(1, round(len(values) * _SMOOTH_OVER / 2))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(values))
    return (sums[last] - sums[first]) / (last - first)


def _number(value: float) -> str:
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.4g}"
