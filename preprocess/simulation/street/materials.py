"""The materials of the street. Raw ids are SemanticKITTI's, each of a class that is evaluated.

Some classes look alike on purpose.
In shape: trunk and pole, truck and low building, fence and low wall, and everything flat.
In colour: trunk and wooden fence, pole and sidewalk, a grey pole and a shaded road.
Remission overlaps everywhere, so that it helps a little and decides nothing.
"""

from __future__ import annotations

from functools import partial

from preprocess.simulation.materials import Material, Materials

_HOUSES = ((0.80, 0.66, 0.46), (0.64, 0.33, 0.25), (0.86, 0.80, 0.66), (0.66, 0.55, 0.50))
_CARS = ((0.70, 0.10, 0.10), (0.10, 0.17, 0.42), (0.88, 0.89, 0.92), (0.11, 0.11, 0.12))

MATERIALS = Materials(
    (
        Material("road", 40, ((0.33, 0.33, 0.35),), "lane_marks", 0.22, drop_out=0.10),
        Material("parking", 44, ((0.46, 0.37, 0.48),), remission=0.26, drop_out=0.10),
        Material("sidewalk", 48, ((0.62, 0.61, 0.60),), remission=0.32, drop_out=0.08),
        Material("terrain", 72, ((0.46, 0.52, 0.22), (0.54, 0.50, 0.27)), "mottled", 0.38, 0.05, 0.10),
        Material("building", 50, _HOUSES, "windows", 0.42),
        Material("fence", 51, ((0.51, 0.34, 0.19), (0.30, 0.43, 0.39)), "mottled", 0.40, 0.03, 0.15),
        Material("vegetation", 70, ((0.20, 0.42, 0.15), (0.31, 0.50, 0.17)), "mottled", 0.45, 0.20, 0.15),
        Material("trunk", 71, ((0.32, 0.26, 0.22),), "mottled", 0.40, 0.03),
        Material("pole", 80, ((0.42, 0.54, 0.64), (0.28, 0.37, 0.46)), remission=0.50),
        Material("traffic sign", 81, ((0.10, 0.25, 0.72), (0.90, 0.76, 0.10)), remission=0.70),
        Material("car", 10, _CARS, remission=0.48, drop_out=0.20),
        Material("truck", 18, ((0.91, 0.46, 0.10), (0.18, 0.55, 0.56)), remission=0.46, drop_out=0.12),
        Material("person", 30, ((0.55, 0.15, 0.50), (0.88, 0.35, 0.55)), "mottled", 0.35, 0.04, 0.10),
        Material("bicyclist", 31, ((0.55, 0.95, 0.35),), "mottled", 0.40, 0.04, 0.12),
    )
)

# With a spread of 0.05, a reader of colours would be right on less than half of the points.
draw_colour = partial(MATERIALS.draw_colour, spread=0.02)
"""Random numbers and the name of a class -> RGB (3,) in [0,1] of a new object."""
