"""The range view: what a spinning LiDAR sees about itself, as an image of its beams and of its turn.

Rows are inclinations, the highest on top; columns are azimuths, straight ahead (+x) in the middle and left
(+y) to its left, so that the image's two edges are one line, behind the sensor.
Letters: M points (or voxels) of the batch, S scans, H rows, W columns, P = S * H * W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass as settings_dataclass
from torch import Tensor

from lass3d_core.settings import SETTINGS


@settings_dataclass(frozen=True, config=SETTINGS)
class RangeImageConfig:
    """The size of a range image, and the inclinations that it shows.

    The defaults are those of SemanticKITTI's 64 beams in FIDNet, LaserMix's network for the range view.
    """

    height: int = Field(default=64, ge=1)  # pixels
    width: int = Field(default=2048, ge=1)  # pixels
    pitch_deg: tuple[float, float] = (-25.0, 3.0)  # the lowest and the highest inclination, degrees

    def __post_init__(self) -> None:
        if not -90 <= self.pitch_deg[0] < self.pitch_deg[1] <= 90:
            raise ValueError(f"pitch_deg must rise within [-90, 90], got {self.pitch_deg}")


@dataclass(frozen=True)
class RangeView:
    """Which point is in which pixel. scans: S, how many images there are.

    pixel (M,) int64: the pixel of each point, counted row by row, image after image. nearest (P,) int64: the
    point that each pixel shows, the nearest in it; M where there is none. distance (M,): of each point from
    the sensor, metres. behind (M,): how much farther that is than what its pixel shows, 0 for what it shows.
    """

    scans: int
    pixel: Tensor
    nearest: Tensor
    distance: Tensor
    behind: Tensor


def range_view(points: Tensor, scan: Tensor, config: RangeImageConfig) -> RangeView:
    """The images of the scans that have points, in ascending order.

    points (M,3) in metres from their sensor, scan (M,) the number of each one's scan.
    Of points that are equally near the first is shown, so that every device shows the same.
    """
    numbers, image = scan.unique(return_inverse=True)
    pixel = (image * config.height + rows_of(points, config)) * config.width + columns_of(points, config)
    pixels = len(numbers) * config.height * config.width
    distance = points.norm(dim=1)
    least = distance.new_full((pixels,), math.inf).scatter_reduce_(0, pixel, distance, "amin")
    behind = distance - least[pixel]
    count = len(points)
    shown = torch.arange(count, device=points.device).masked_fill(behind > 0, count)
    nearest = shown.new_full((pixels,), count).scatter_reduce_(0, pixel, shown, "amin")
    return RangeView(len(numbers), pixel, nearest, distance, behind)


def rows_of(points: Tensor, config: RangeImageConfig) -> Tensor:
    """The row (M,) int64 of points (M,3) from their sensor; what lies beyond the image is in its last row."""
    x, y, z = points.double().unbind(dim=1)
    low, high = config.pitch_deg
    from_top = (high - torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))) / (high - low)
    return (from_top * config.height).floor().long().clamp(0, config.height - 1)


def columns_of(points: Tensor, config: RangeImageConfig) -> Tensor:
    """The column (M,) int64 of points (M,3) from their sensor."""
    x, y, _ = points.double().unbind(dim=1)
    turn = 0.5 - torch.atan2(y, x) / (2 * math.pi)
    return (turn * config.width).floor().long() % config.width
