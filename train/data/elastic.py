"""Elastic deformation: a smooth random field of offsets, the usual augmentation of rooms.

The field is blurred noise on a regular grid of nodes, linear between the nodes (Simard et al. 2003, in the
form of SparseConvNet, which GPC uses). Letters: N points; X, Y, Z nodes.
"""

from __future__ import annotations

import itertools

import numpy as np

_BLUR = np.array([1, 2, 3, 2, 1], np.float32) / 9  # a box filter of three nodes, applied twice


def elastic_offsets(
    points: np.ndarray, spacing: float, magnitude: float, rng: np.random.Generator
) -> np.ndarray:
    """The offsets of points (N,3) metres, (N,3) float32 metres.

    spacing: metres between nodes.
    magnitude: standard deviation of the noise before the blur, metres. After the blur it is
    `magnitude * 0.11` at the nodes, and less between them.

    Decision: the grid covers the points, and the noise continues beyond it. So the field is as strong at the
    border of a scan as in its middle, wherever the origin is. GPC's grid is centred at the origin, with zeros
    outside.
    """
    if not len(points):
        return np.zeros((0, 3), np.float32)
    places = points.astype(np.float64) / spacing
    low = np.floor(places.min(0))
    nodes = (np.floor(places.max(0)) - low).astype(int) + 2
    return magnitude * between_nodes(smooth_noise(tuple(nodes), rng), places - low)


def smooth_noise(nodes: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal noise of standard deviation 1 at nodes (X,Y,Z), blurred along each axis, (X,Y,Z,3) float32."""
    margin = len(_BLUR) - 1
    noise: np.ndarray = rng.standard_normal((*(count + margin for count in nodes), 3), np.float32)
    for axis in range(3):
        noise = np.lib.stride_tricks.sliding_window_view(noise, len(_BLUR), axis) @ _BLUR
    return noise


def between_nodes(grid: np.ndarray, places: np.ndarray) -> np.ndarray:
    """grid (X,Y,Z,3) interpolated trilinearly at places (N,3) in [0, number of nodes - 1), (N,3) float32."""
    cell = places.astype(np.int64)
    part = (places - cell).astype(np.float32)
    total = np.zeros((len(places), 3), np.float32)
    for corner in itertools.product((0, 1), repeat=3):
        weight = np.where(corner, part, 1 - part).prod(axis=1, keepdims=True)
        total += weight * grid[tuple((cell + corner).T)]
    return total
