"""The textures of surfaces. They are hashes of places on a solid, so that every image shows the same.

metric: surface points (R,3) in metres along the axes of their solids (R,), from the centres.
"""

from __future__ import annotations

import numpy as np

from preprocess.simulation.pinhole import hashed, mottle
from preprocess.simulation.room.materials import MATERIALS
from preprocess.simulation.shapes import Scene

_MOTTLE = 0.05
_LINE_M = 0.015  # half of the width of a joint
_PLANK_M, _TILE_M, _FRONT_M = 0.16, 0.33, 0.5
_SPINE_M, _BLOTCH_M = 0.05, 0.12


def textured(scene: Scene, metric: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Colours (R,3) in [0,1] of surface points: the colour of the solid, then the pattern of its material."""
    colour = scene.colour[solid] * (1.0 + _MOTTLE * mottle(metric, solid)[:, None])
    pattern = MATERIALS.column("pattern")[scene.material[solid]]
    half = scene.half[solid]
    drawn = (_planks, _tiles, _fronts, _spines, _canvas, _panes)
    for name, draw in zip(("planks", "tiles", "fronts", "spines", "canvas", "panes"), drawn):
        of = np.flatnonzero(pattern == name)
        colour[of] = draw(colour[of], metric[of], half[of], solid[of])
    return np.clip(colour, 0.0, 1.0)


def _planks(colour: np.ndarray, metric: np.ndarray, half: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Boards along x of different brightness."""
    return colour * (1.0 + 0.1 * _hashed(solid, metric[:, 1] / _PLANK_M, metric[:, 0] / 1.5)[:, None])


def _tiles(colour: np.ndarray, metric: np.ndarray, half: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Squares with dark joints."""
    joint = _near_line(metric[:, 0], _TILE_M) | _near_line(metric[:, 1], _TILE_M)
    return np.where(joint[:, None], colour * 0.75, colour)


def _fronts(colour: np.ndarray, metric: np.ndarray, half: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Doors with dark gaps between them."""
    gap = _near_line(metric[:, 0], _FRONT_M)
    return np.where(gap[:, None], colour * 0.6, colour)


def _spines(colour: np.ndarray, metric: np.ndarray, half: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Backs of books in different colours."""
    column = metric[:, 0] / _SPINE_M
    tints = [_hashed(solid, column, np.full(len(column), float(channel))) for channel in range(3)]
    return colour + 0.22 * np.stack(tints, 1)


def _canvas(colour: np.ndarray, metric: np.ndarray, half: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """Blotches of two colours in a dark frame."""
    strength = _hashed(solid, metric[:, 0] / _BLOTCH_M, metric[:, 2] / _BLOTCH_M)
    varied = colour * (1.0 + 0.15 * strength)[:, None]
    painted = np.where((strength > 0.6)[:, None], colour[:, [2, 0, 1]], varied)
    return np.where(_at_rim(metric, half, 0.03)[:, None], 0.15, painted)


def _panes(colour: np.ndarray, metric: np.ndarray, half: np.ndarray, solid: np.ndarray) -> np.ndarray:
    """A white frame and a bar in the middle."""
    bar = _at_rim(metric, half, 0.05) | (np.abs(metric[:, 0]) < 0.03)
    return np.where(bar[:, None], 0.9, colour)


def _near_line(along: np.ndarray, step: float) -> np.ndarray:
    return np.abs(along - step * np.round(along / step)) < _LINE_M


def _at_rim(metric: np.ndarray, half: np.ndarray, width: float) -> np.ndarray:
    return ((half - np.abs(metric))[:, [0, 2]] < width).any(axis=1)


def _hashed(solid: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A number (R,) in [-1, 1] for each cell of a grid on a solid."""
    cell = np.stack([np.floor(first), np.floor(second), np.zeros(len(first))], axis=1)
    return hashed(cell.astype(np.int64), solid)
