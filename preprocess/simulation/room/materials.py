"""The materials of a room. Raw ids are ScanNet's (NYU40).

Some classes look alike on purpose: white things (refrigerator, bathtub, toilet, sink, cabinet), wooden things
(table, desk, cabinet, bookshelf, door, floor), pale flat things (wall, ceiling, curtain).
"""

from __future__ import annotations

from functools import partial

from preprocess.simulation.materials import Material, Materials

MATERIALS = Materials(
    (
        Material("wall", 1, ((0.90, 0.82, 0.62), (0.70, 0.86, 0.74))),
        Material("floor", 2, ((0.62, 0.46, 0.30), (0.47, 0.33, 0.21)), "planks"),
        Material("tiles", 2, ((0.70, 0.62, 0.62), (0.48, 0.53, 0.60)), "tiles"),
        Material("cabinet", 3, ((0.42, 0.24, 0.15), (0.40, 0.52, 0.46)), "fronts"),
        Material("bed", 4, ((0.30, 0.38, 0.68), (0.70, 0.52, 0.78))),
        Material("chair", 5, ((0.18, 0.18, 0.21), (0.80, 0.24, 0.12))),
        Material("sofa", 6, ((0.50, 0.16, 0.30), (0.36, 0.42, 0.24))),
        Material("table", 7, ((0.76, 0.53, 0.24), (0.28, 0.17, 0.11))),
        Material("door", 8, ((0.64, 0.33, 0.14), (0.24, 0.44, 0.50))),
        Material("window", 9, ((0.48, 0.72, 0.98),), "panes"),
        Material("bookshelf", 10, ((0.56, 0.42, 0.14), (0.28, 0.23, 0.20))),
        Material("books", 10, ((0.46, 0.30, 0.32),), "spines"),
        Material("picture", 11, ((0.12, 0.50, 0.32), (0.94, 0.60, 0.08)), "canvas"),
        Material("counter", 12, ((0.36, 0.34, 0.46), (0.56, 0.44, 0.42))),
        Material("desk", 14, ((0.86, 0.68, 0.46), (0.58, 0.40, 0.52))),
        Material("curtain", 16, ((0.90, 0.74, 0.36), (0.54, 0.68, 0.48))),
        Material("pillow", 18, ((0.98, 0.90, 0.50), (0.92, 0.50, 0.62))),
        Material("floor mat", 20, ((0.60, 0.12, 0.14), (0.20, 0.28, 0.40))),
        Material("ceiling", 22, ((0.92, 0.89, 0.80),)),
        Material("refrigerator", 24, ((0.56, 0.58, 0.62), (0.84, 0.90, 0.98))),
        Material("television", 25, ((0.06, 0.07, 0.09),)),
        Material("shower curtain", 28, ((0.50, 0.88, 0.88), (0.90, 0.56, 0.82))),
        Material("toilet", 33, ((0.97, 0.97, 0.96),)),
        Material("sink", 34, ((0.70, 0.80, 0.94),)),
        Material("bathtub", 36, ((0.96, 0.78, 0.74),)),
        Material("otherfurniture", 39, ((0.90, 0.44, 0.40), (0.40, 0.26, 0.56))),
    )
)

UNANNOTATED = 0
"""ScanNet's id of vertices that nobody labelled."""

draw_colour = partial(MATERIALS.draw_colour, spread=0.025)
"""Random numbers and the name of a material -> RGB (3,) in [0,1] of a new object."""
