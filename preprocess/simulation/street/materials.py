"""What the things of the street are made of: how they look to a camera and to a LiDAR, by class.

The numbers make some pairs of classes alike on purpose. In shape: trunk and pole, truck and low building,
fence and low wall, and everything flat. In colour: trunk and wooden fence, pole and sidewalk, a grey pole and
a shaded road. Remission overlaps everywhere, so that it helps a little and decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Material:
    """Surface of one class.

    raw_id: SemanticKITTI's raw label. colours: nominal RGB in [0,1], one is drawn per object. remission: mean
    in [0,1]. range_noise_m: standard deviation. drop_out: share of lost returns.
    """

    name: str
    raw_id: int
    colours: tuple[Rgb, ...]
    remission: float
    range_noise_m: float = 0.02
    drop_out: float = 0.05
    pattern: Literal["mottled", "windows", "lane_marks"] = "mottled"


_ALL = (
    Material("road", 40, ((0.33, 0.33, 0.35),), 0.22, drop_out=0.10, pattern="lane_marks"),
    Material("parking", 44, ((0.46, 0.37, 0.48),), 0.26, drop_out=0.10),
    Material("sidewalk", 48, ((0.62, 0.61, 0.60),), 0.32, drop_out=0.08),
    Material("terrain", 72, ((0.46, 0.52, 0.22), (0.54, 0.50, 0.27)), 0.38, 0.05, drop_out=0.10),
    Material(
        "building",
        50,
        ((0.80, 0.66, 0.46), (0.64, 0.33, 0.25), (0.86, 0.80, 0.66), (0.66, 0.55, 0.50)),
        0.42,
        pattern="windows",
    ),
    Material("fence", 51, ((0.51, 0.34, 0.19), (0.30, 0.43, 0.39)), 0.40, 0.03, drop_out=0.15),
    Material("vegetation", 70, ((0.20, 0.42, 0.15), (0.31, 0.50, 0.17)), 0.45, 0.20, drop_out=0.15),
    Material("trunk", 71, ((0.32, 0.26, 0.22),), 0.40, 0.03),
    Material("pole", 80, ((0.42, 0.54, 0.64), (0.28, 0.37, 0.46)), 0.50),
    Material("traffic sign", 81, ((0.10, 0.25, 0.72), (0.90, 0.76, 0.10)), 0.70),
    Material(
        "car",
        10,
        ((0.70, 0.10, 0.10), (0.10, 0.17, 0.42), (0.88, 0.89, 0.92), (0.11, 0.11, 0.12)),
        0.48,
        drop_out=0.20,
    ),
    Material("truck", 18, ((0.91, 0.46, 0.10), (0.18, 0.55, 0.56)), 0.46, drop_out=0.12),
    Material("person", 30, ((0.55, 0.15, 0.50), (0.88, 0.35, 0.55)), 0.35, 0.04, drop_out=0.10),
    Material("bicyclist", 31, ((0.55, 0.95, 0.35),), 0.40, 0.04, drop_out=0.12),
)

MATERIALS: dict[str, Material] = {material.name: material for material in _ALL}
"""Class name -> its material. Every raw id is one of SemanticKITTI's 19 evaluated classes."""

MATERIAL_ORDER: tuple[Material, ...] = _ALL
"""The materials by the index that a scene stores."""
