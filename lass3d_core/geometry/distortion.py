"""How a lens bends the pinhole image: OpenCV's two models.

Coordinates are normalised: x right, y down, at depth 1, before K. A lens model is a polynomial that was
fitted inside the image. Beyond it the polynomial turns back and would put far points into the image, so only
points before the first turning point have a pixel.
"""

from __future__ import annotations

import numpy as np

from lass3d_core.records import Distortion

_FARTHEST = 10.0  # times the depth: a point 84 degrees from the axis
_STEPS = 10_000


def distorted(x: np.ndarray, y: np.ndarray, lens: Distortion) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the lens puts points x, y (N,) float64: x, y, and (N,) bool, whether the model holds there."""
    r = np.hypot(x, y)
    holds = r < _turning_point(lens)
    if lens.model == "fisheye":
        scale = np.divide(_bent(r, lens), r, out=np.ones_like(r), where=r > 1e-9)
        return x * scale, y * scale, holds
    _, _, p1, p2, *_ = (*lens.coefficients, 0.0, 0.0)
    scale = np.divide(_bent(r, lens), r, out=np.ones_like(r), where=r > 1e-9)
    r2 = r * r
    return (
        x * scale + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * scale + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        holds,
    )


def _bent(r: np.ndarray, lens: Distortion) -> np.ndarray:
    """The distance from the axis (N,) after the lens, of points at distance r (N,) before it."""
    if lens.model == "fisheye":
        k1, k2, k3, k4 = lens.coefficients
        angle = np.arctan(r)
        square = angle * angle
        return angle * (1 + square * (k1 + square * (k2 + square * (k3 + square * k4))))
    k1, k2, _, _, k3, k4, k5, k6 = (*lens.coefficients, *(0.0,) * 4)[:8]
    square = r * r
    above = 1 + square * (k1 + square * (k2 + square * k3))
    below = 1 + square * (k4 + square * (k5 + square * k6))
    bent: np.ndarray = r * above / below
    return bent


def _turning_point(lens: Distortion) -> float:
    """The distance from the axis up to which the lens keeps the order of distances."""
    r = np.linspace(0, _FARTHEST, _STEPS)
    with np.errstate(divide="ignore", invalid="ignore"):
        grows = np.diff(_bent(r, lens)) > 0
    return float(r[-1] if grows.all() else r[np.argmin(grows)])
