"""The range view: a scan of a spinning LiDAR as an image.

Rows are inclinations, the highest at the top. Columns are azimuths: straight ahead (+x) is in the middle,
left (+y) is to its left, and both edges of the image show the direction behind the sensor.
Letters: M points (or voxels) of the batch, S scans, H rows, W columns, P = S * H * W pixels.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from lass3d_core.settings import SETTINGS


@dataclass(frozen=True, config=SETTINGS)
class RangeImageConfig:
    """Defaults: SemanticKITTI's 64 beams in FIDNet, LaserMix's network for the range view."""

    height: int = Field(default=64, ge=1)  # pixels
    width: int = Field(default=2048, ge=1)  # pixels
    pitch_deg: tuple[float, float] = (-25.0, 3.0)  # the lowest and the highest inclination, degrees

    def __post_init__(self) -> None:
        if not -90 <= self.pitch_deg[0] < self.pitch_deg[1] <= 90:
            raise ValueError(f"pitch_deg must rise within [-90, 90], got {self.pitch_deg}")


class RangeView(NamedTuple):
    """Which point is in which pixel. scans: S, the number of images.

    pixel (M,) int64: the pixel of each point, counted row by row, image after image.
    nearest (P,) int64: the nearest point in each pixel; M for an empty pixel.
    distance (M,): from the sensor to each point, metres.
    behind (M,): distance of each point behind the nearest point of its pixel, metres.
    """

    scans: int
    pixel: Tensor
    nearest: Tensor
    distance: Tensor
    behind: Tensor


def range_view(points: Tensor, scan: Tensor, config: RangeImageConfig) -> RangeView:
    """The images of the scans that have points, in ascending order of their numbers.

    points (M,3): metres, the sensor is the origin. scan (M,): the number of each point's scan.
    """
    numbers, image = scan.unique(return_inverse=True)
    pixel = (image * config.height + image_rows(points, config)) * config.width + image_columns(
        points, config
    )
    pixels = len(numbers) * config.height * config.width
    distance = points.norm(dim=1)
    least = distance.new_full((pixels,), math.inf).scatter_reduce_(0, pixel, distance, "amin")
    behind = distance - least[pixel]
    count = len(points)
    # Of equally near points the first is shown, so that every device shows the same one.
    shown = torch.arange(count, device=points.device).masked_fill(behind > 0, count)
    nearest = shown.new_full((pixels,), count).scatter_reduce_(0, pixel, shown, "amin")
    return RangeView(len(numbers), pixel, nearest, distance, behind)


def image_rows(points: Tensor, config: RangeImageConfig) -> Tensor:
    """The row (M,) int64 of points (M,3). Points above or below the image are in its first or last row."""
    x, y, z = points.double().unbind(dim=1)
    low, high = config.pitch_deg
    from_top = (high - torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))) / (high - low)
    return (from_top * config.height).floor().long().clamp(0, config.height - 1)


def image_columns(points: Tensor, config: RangeImageConfig) -> Tensor:
    """The column (M,) int64 of points (M,3)."""
    x, y, _ = points.double().unbind(dim=1)
    turn = 0.5 - torch.atan2(y, x) / (2 * math.pi)
    return (turn * config.width).floor().long() % config.width
