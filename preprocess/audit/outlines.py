"""Outlines: places in an image where a thing of the scan ends, between two neighbouring points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from lass3d_core.geometry.projection import invert_rigid, pixels_in_image, project, transform_points
from lass3d_core.records import Camera

# Least step of depth, as a share of the nearer depth, beyond the plane that continues the nearer side.
JUMP = 0.1

_NEIGHBOURS = 8
# Neighbours are at most this many median spacings of the scan apart in the image, and at most _FARTHEST at
# depth 1: a sparser scan does not show where an outline is.
_FARTHEST_GAPS = 2.0
_FARTHEST = 0.06
# A point stands for the place beyond a pair if it lies nearer to it than this share of the farthest gap.
_BEYOND = 0.7


class Outline(NamedTuple):
    """Points on outlines.

    points (n,3) float32: metres, frame of the scan, at the depth of the nearer thing. weights (n,) float32.
    Near points weigh more, because a shift moves them more. Points between close neighbours weigh more,
    because they are located better.
    """

    points: np.ndarray
    weights: np.ndarray


def depth_outline(camera: Camera, points: np.ndarray) -> Outline:
    """Find where one of two neighbouring points (N,3) float32 (metres) stands in front of the other."""
    # Two conditions. The depth leaves the plane that continues the nearer side, by more than JUMP: ground at
    # a flat angle is no jump (the inverse depth of a plane is linear in the image). And the farther side
    # continues: a single point in a gap is no jump.
    seen = Neighbours(camera, points)
    near, far = seen.first, seen.second
    farther = seen.depth[far] > (1 + JUMP) * seen.depth[near]
    near, far = near[farther], far[farther]
    before, has_before = seen.beyond(far, near)
    behind, has_behind = seen.beyond(near, far)
    inverse = 1 / seen.depth
    slope = (inverse[near] - inverse[before]) / np.maximum(seen.apart(near, before), 1e-9)
    plane = inverse[near] + slope * seen.apart(near, far)
    leaves = (plane - inverse[far]) * seen.depth[near] > JUMP
    stays = seen.depth[behind] - seen.depth[near] > (seen.depth[far] - seen.depth[near]) / 2
    found = has_before & has_behind & leaves & stays
    return seen.outline(near[found], far[found])


class Neighbours:
    """The points in an image and the pairs of neighbours among them.

    point (n,) int64: index into the scan. depth (n,): metres. direction (n,2): x/z and y/z, camera frame.
    first, second (m,) int64: pairs of neighbours, in both orders, as indices into `point`.
    """

    def __init__(self, camera: Camera, points: np.ndarray) -> None:
        uv, depth = project(camera, points)
        self.point = pixels_in_image(uv, depth, camera.size_hw)[0]
        self.depth = depth[self.point].astype(np.float64)
        rays = np.column_stack([uv[self.point], np.ones(len(self.point))])
        self.direction = (rays @ np.linalg.inv(camera.K).T)[:, :2]
        self._camera = camera
        self._tree = cKDTree(self.direction)
        self._farthest, self.first, self.second = self._pairs()

    def _pairs(self) -> tuple[float, np.ndarray, np.ndarray]:
        if len(self.point) <= _NEIGHBOURS:
            return 0.0, np.empty(0, np.int64), np.empty(0, np.int64)
        gaps, others = self._tree.query(self.direction, _NEIGHBOURS + 1)
        farthest = min(_FARTHEST_GAPS * np.median(gaps[:, _NEIGHBOURS // 2]), _FARTHEST)
        first, column = np.nonzero((gaps < farthest) & (gaps > 1e-6))
        return farthest, first, others[first, column]

    def apart(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The distance (m,) of pairs in the image, at depth 1."""
        return np.linalg.norm(self.direction[one] - self.direction[other], axis=1)

    def beyond(self, one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The point beyond each pair, as far from `other` as `one` is, on the other side.

        Returns its index (m,) and whether there is one, bool (m,).
        """
        if not len(one):
            return one, np.empty(0, bool)
        distance, found = self._tree.query(2 * self.direction[other] - self.direction[one])
        clear = self.apart(found, other) > 0.3 * self.apart(one, other)
        return found, (distance < _BEYOND * self._farthest) & clear

    def outline(self, near: np.ndarray, far: np.ndarray) -> Outline:
        """A place per nearer point: halfway to its closest farther neighbour, at the nearer depth."""
        gaps = self.apart(near, far)
        order = np.lexsort((gaps, near))
        once = order[np.unique(near[order], return_index=True)[1]]
        near, far, gaps = near[once], far[once], gaps[once]
        middle = (self.direction[near] + self.direction[far]) / 2
        places = np.column_stack([middle, np.ones(len(near))]) * self.depth[near, None]
        points = transform_points(invert_rigid(self._camera.cam_from_points), places)
        weights = 1 / np.sqrt(self.depth[near] * np.maximum(gaps, 1e-6))
        return Outline(points.astype(np.float32), weights.astype(np.float32))
