"""A cloud as a picture: seen from behind and above, each point in its colour, near ones in front.

Letters: N points, H rows, W columns.
"""

from __future__ import annotations

import base64
import io
import math

import numpy as np
from PIL import Image

MOST_POINTS = 300_000
"""More points than that add nothing to a picture."""

GROUND = (46, 51, 57)
"""The colour behind the points: neither SemanticKITTI's darkest classes nor its palest vanish on it."""


def picture(points: np.ndarray, colours: np.ndarray, size_hw: tuple[int, int] = (520, 960)) -> np.ndarray:
    """The cloud as an image (H,W,3) uint8.

    points (N,3) metres, z up; x points away from the viewer. colours (N,3) uint8.
    """
    if len(points) > MOST_POINTS:
        chosen = np.random.default_rng(0).choice(len(points), MOST_POINTS, replace=False)
        points, colours = points[chosen], colours[chosen]
    height, width = size_hw
    image = np.empty((height, width, 3), np.uint8)
    image[:] = GROUND
    column, row, depth = _pixels(points.astype(np.float64), size_hw)
    # A sparse cloud gets larger points, and near points are larger than far ones.
    size = np.clip(math.sqrt(0.03 * height * width / len(points)), 1, 3) * np.median(depth) / depth
    edge = np.clip(np.rint(size), 1, 5).astype(int)
    # Painted from far to near, so that near points cover far ones.
    order = np.argsort(-depth, kind="stable")
    for dv in range(5):
        for du in range(5):
            paint = order[edge[order] > max(du, dv)]
            u, v = column[paint] + du, row[paint] + dv
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            image[v[inside], u[inside]] = colours[paint[inside]]
    return image


def as_data_url(image: np.ndarray) -> str:
    """An image (H,W,3) uint8 as a PNG inside a URL, so that a page needs no file beside it."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _pixels(points: np.ndarray, size_hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Column, row (N,) int64 and depth (N,) of each point, seen from behind and above the cloud's middle."""
    height, width = size_hw
    middle = np.median(points, axis=0)
    away = points - middle
    reach = max(float(np.quantile(np.linalg.norm(away[:, :2], axis=1), 0.9)), 1e-3)
    pitch = np.deg2rad(38)
    back, up = away[:, 0] * np.cos(pitch) - away[:, 2] * np.sin(pitch), away[:, 2] * np.cos(pitch)
    up = up + away[:, 0] * np.sin(pitch)
    depth = np.maximum(back + 2.2 * reach, 0.05 * reach)
    focal = 1.1 * min(width, 1.7 * height)
    column = np.rint(width / 2 - focal * away[:, 1] / depth).astype(np.int64)
    row = np.rint(height / 2 - focal * up / depth).astype(np.int64)
    return column, row, depth
