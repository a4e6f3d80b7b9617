"""Does a scan lie on its images? Where things end in the scan, the images must have edges.

After Levinson and Thrun, "Automatic Online Calibration of Cameras and Lasers" (RSS 2013): depth jumps of the
scan are projected into the image, the strength of the image's edges is summed there, and a calibration is in
doubt if a slightly turned or shifted one scores more.

Decision: three things differ. Without each of them, a shift of 10 cm could not be found on single frames.
- Jumps are looked for between neighbours in the *image*. The LiDAR stands elsewhere and sees other outlines.
- A jump is placed halfway between its two points, where it is unbiased.
- Edges are divided by the mean edge at all points of the scan. So a nudge gains nothing if it moves the scan
  onto a part of the image with more edges. A score of 1 is chance.

A shift along the optical axis hardly moves a pixel and cannot be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from lass3d_core.geometry.projection import pixels_in_image, project, rigid
from lass3d_core.records import Camera
from preprocess.audit.outlines import Outline

# A nudge fits as well as the best if that leads by less than these standard errors.
ALIKE = 2.0

_BLUR_RAD = 0.001
_LEAST_BLUR_PX = 0.6
_SURROUNDINGS_RAD = 0.1
_STRONG = 2.0
_CHANCE_POINTS = 6000

Kind = Literal["turn", "shift"]
Axis = Literal["x", "y", "z"]


@dataclass(frozen=True)
class Nudge:
    """A small change of a calibration: a turn in degrees about a camera axis, or a shift in metres along it.

    It moves the points in the frame of the camera: x right, y down, z forward.
    """

    kind: Kind
    axis: Axis
    amount: float

    def of(self, camera: Camera) -> Camera:
        """`camera` with the change."""
        along = np.eye(3)["xyz".index(self.axis)] * self.amount
        turn, shift = (along, np.zeros(3)) if self.kind == "turn" else (np.zeros(3), along)
        change = rigid(Rotation.from_rotvec(turn, degrees=True).as_matrix(), shift)
        return Camera(camera.K, change @ camera.cam_from_points, camera.size_hw)

    def __str__(self) -> str:
        axis = {"x": "horizontal axis (x)", "y": "vertical axis (y)", "z": "optical axis (z)"}[self.axis]
        if self.kind == "turn":
            return f"a turn by {self.amount:+g} degrees about the camera's {axis}"
        return f"a shift by {100 * self.amount:+g} cm along the camera's {axis}"


# Decision: the steps are close, because a wrong calibration passes if no step is near the way back. With
# turns of 1, 2 and 4 degrees, one of 3 degrees passed on a real drive. A stereo pair is about 60 cm wide.
_TRIED: tuple[tuple[Kind, tuple[Axis, ...], tuple[float, ...]], ...] = (
    ("turn", ("x", "y", "z"), (1.0, 2.0, 3.0, 4.0, 6.0)),
    ("shift", ("x", "y"), (0.1, 0.3, 0.6)),
)
NUDGES = tuple(
    Nudge(kind, axis, sign * step)
    for kind, axes, steps in _TRIED
    for axis in axes
    for step in steps
    for sign in (1, -1)
)


class Observation(NamedTuple):
    """The edges of one image on the outline points of a scan.

    weights (n,): of the outline points. edges (1+K,n) float32: edge strength at each outline point over the
    mean at all points, under the given calibration and under K nudged ones; NaN outside the image.
    """

    weights: np.ndarray
    edges: np.ndarray


@dataclass(frozen=True)
class Fit:
    """How well a calibration fits. score: edges on the outline, relative to chance."""

    score: float
    sure: float  # lead in standard errors: of the given one over chance, of a nudged one over the given


@dataclass(frozen=True)
class Alignment:
    """How well the images of one calibration fit their scans: as given, and nudged.

    error: standard error of the given score. best: the nudge with the highest score; None if none was tried.
    rivals: further nudges that fit better than the given calibration and as well as the best, best first.
    """

    images: int
    points: int
    given: Fit
    error: float
    nudged: dict[Nudge, Fit]
    best: Nudge | None
    rivals: tuple[Nudge, ...]


def edge_strength(image: np.ndarray, focal_px: float) -> np.ndarray:
    """The strength of the edge at each pixel of an image (H,W,3) uint8: (H,W) float32 in [0,1).

    It is the gradient of the strongest channel, divided by the mean gradient within 0.05 rad, through tanh.
    So a faint edge on a smooth surface counts, and a bright lamp does not outweigh all others.
    """
    blur = max(_LEAST_BLUR_PX, _BLUR_RAD * focal_px)
    gradient = np.zeros(image.shape[:2], np.float32)
    for channel in np.moveaxis(image, 2, 0).astype(np.float32):
        across, down = (ndimage.gaussian_filter(channel, blur, order) for order in ((0, 1), (1, 0)))
        np.maximum(gradient, np.hypot(across, down), out=gradient)
    around = ndimage.uniform_filter(gradient, round(_SURROUNDINGS_RAD * focal_px) | 1)
    return np.tanh(gradient / (around + 1) / _STRONG)


def observe(
    camera: Camera, image: np.ndarray, points: np.ndarray, outline: Outline, nudges: Sequence[Nudge] = NUDGES
) -> Observation:
    """Measure the edges of an image (H,W,3) uint8 on the outline of the points (N,3) float32 that it sees."""
    strength = edge_strength(image, camera.K[0, 0])
    sample = points[:: len(points) // _CHANCE_POINTS + 1]
    edges = np.full((1 + len(nudges), len(outline.points)), np.nan, np.float32)
    for row, tried in enumerate([camera, *(nudge.of(camera) for nudge in nudges)]):
        chance = _at(strength, tried, sample)
        if np.isfinite(chance).any():
            edges[row] = _at(strength, tried, outline.points) / max(float(np.nanmean(chance)), 1e-6)
    return Observation(outline.weights, edges)


def compare(observations: Sequence[Observation], nudges: Sequence[Nudge] = NUDGES) -> Alignment:
    """Compare a calibration with nudged ones, over one or more images that share it."""
    weights = np.concatenate([one.weights for one in observations])
    edges = np.concatenate([one.edges for one in observations], axis=1)
    above, error = _mean_and_error(edges[0] - 1, weights)
    nudged = {
        nudge: Fit(_mean(row, weights), _lead(row - edges[0], weights))
        for nudge, row in zip(nudges, edges[1:], strict=True)
    }
    order = sorted(range(len(nudges)), key=lambda i: -nudged[nudges[i]].score)
    best = order[0] if order else None
    rivals = tuple(
        nudges[i]
        for i in order[1:]
        if nudged[nudges[i]].sure > 0 and _lead(edges[1 + order[0]] - edges[1 + i], weights) < ALIKE
    )
    return Alignment(
        images=len(observations),
        points=len(weights),
        given=Fit(_mean(edges[0], weights), above / error if error > 0 else 0.0),
        error=error,
        nudged=nudged,
        best=None if best is None else nudges[best],
        rivals=rivals,
    )


def _at(strength: np.ndarray, camera: Camera, points: np.ndarray) -> np.ndarray:
    """The edge strength (N,) float32 at points (N,3); NaN outside the image."""
    found = np.full(len(points), np.nan, np.float32)
    inside, v, u = pixels_in_image(*project(camera, points), camera.size_hw)
    found[inside] = strength[v, u]
    return found


def _mean(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of the values that are not NaN; 0 if there are none."""
    known = np.isfinite(values)
    total = weights[known].sum()
    return float((values[known] * weights[known]).sum() / total) if total > 0 else 0.0


def _lead(differences: np.ndarray, weights: np.ndarray) -> float:
    """The weighted mean of `differences` in standard errors."""
    mean, error = _mean_and_error(differences, weights)
    return mean / error if error > 0 else 0.0


def _mean_and_error(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The weighted mean of the values that are not NaN, and its standard error, as if independent."""
    known = np.isfinite(values)
    values, weights = values[known], weights[known]
    total, mean = float(weights.sum()), _mean(values, weights)
    spread = float(np.sqrt((weights**2 * (values - mean) ** 2).sum()))
    return mean, spread / total if total > 0 else 0.0
