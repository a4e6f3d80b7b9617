"""What the things of a room are made of, by class: how they look, and which id ScanNet gives them.

The colours make some classes alike on purpose: white things (refrigerator, bathtub, toilet, sink, cabinet),
wooden things (table, desk, cabinet, bookshelf, door, floor), pale flat things (wall, ceiling, curtain).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Rgb = tuple[float, float, float]
Pattern = Literal["mottled", "planks", "tiles", "fronts", "spines", "canvas", "panes"]


@dataclass(frozen=True)
class Material:
    """Surface of one class. nyu40: its id in label files. colours: RGB in [0,1], each object has one."""

    name: str
    nyu40: int
    colours: tuple[Rgb, ...]
    pattern: Pattern = "mottled"


_ALL = (
    Material("wall", 1, ((0.88, 0.86, 0.78), (0.76, 0.84, 0.86), (0.80, 0.86, 0.74))),
    Material("floor", 2, ((0.62, 0.46, 0.30), (0.47, 0.33, 0.21)), "planks"),
    Material("tiles", 2, ((0.66, 0.64, 0.62), (0.50, 0.52, 0.54)), "tiles"),
    Material("cabinet", 3, ((0.45, 0.27, 0.16), (0.92, 0.90, 0.90), (0.40, 0.50, 0.46)), "fronts"),
    Material("bed", 4, ((0.30, 0.38, 0.66), (0.76, 0.62, 0.76))),
    Material("chair", 5, ((0.18, 0.18, 0.21), (0.78, 0.24, 0.14))),
    Material("sofa", 6, ((0.50, 0.18, 0.30), (0.36, 0.40, 0.28))),
    Material("table", 7, ((0.74, 0.52, 0.28), (0.30, 0.20, 0.14))),
    Material("door", 8, ((0.62, 0.34, 0.18), (0.84, 0.78, 0.68))),
    Material("window", 9, ((0.62, 0.80, 0.98),), "panes"),
    Material("bookshelf", 10, ((0.56, 0.42, 0.16), (0.28, 0.22, 0.20))),
    Material("books", 10, ((0.46, 0.30, 0.32),), "spines"),
    Material("picture", 11, ((0.16, 0.50, 0.36), (0.92, 0.62, 0.12)), "canvas"),
    Material("counter", 12, ((0.38, 0.36, 0.42), (0.70, 0.62, 0.58))),
    Material("desk", 14, ((0.84, 0.68, 0.46), (0.72, 0.74, 0.78))),
    Material("curtain", 16, ((0.88, 0.74, 0.42), (0.56, 0.66, 0.52))),
    Material("pillow", 18, ((0.96, 0.88, 0.58), (0.90, 0.50, 0.60))),
    Material("floor mat", 20, ((0.60, 0.14, 0.14), (0.22, 0.30, 0.40))),
    Material("ceiling", 22, ((0.94, 0.94, 0.92),)),
    Material("refrigerator", 24, ((0.66, 0.70, 0.74), (0.90, 0.94, 0.98))),
    Material("television", 25, ((0.06, 0.07, 0.09),)),
    Material("shower curtain", 28, ((0.52, 0.86, 0.86), (0.92, 0.76, 0.84))),
    Material("toilet", 33, ((0.97, 0.97, 0.94),)),
    Material("sink", 34, ((0.78, 0.84, 0.90),)),
    Material("bathtub", 36, ((0.94, 0.86, 0.84),)),
    Material("otherfurniture", 39, ((0.90, 0.44, 0.40), (0.40, 0.26, 0.56))),
)

MATERIALS: dict[str, Material] = {material.name: material for material in _ALL}
"""Name -> material."""

MATERIAL_ORDER: tuple[Material, ...] = _ALL
"""The materials by the index that a scene stores."""

UNANNOTATED = 0
"""ScanNet's id of vertices that nobody has named."""
