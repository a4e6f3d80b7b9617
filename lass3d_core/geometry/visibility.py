"""The rule by which an image sees or does not see the points that lie in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Visibility:
    """Which of the points in the image the image sees.

    `zbuffer`: the scan hides itself. Each point is splatted over the square of 2*splat_radius_px + 1 pixels
    around its own; one at `nearest` metres, seen under the angle `apart` from another, hides that other
    unless depth <= nearest * (1 + depth_tolerance + apart / tan(grazing_deg)) + depth_slack_m.
    Decision: the term with the angle is how fast the depth of a plane grows that is seen at grazing_deg, so
    that no steeper surface hides itself, whatever the resolution. Decision: where the image's masks are
    known, a point hides others within its own mask alone: a thing covers no pixel outside of its own.
    `depth_map`: the depth camera's own measurement agrees within depth_tolerance of it (relative).
    `none`: every point in the image. min_depth_m: nearer points are never seen.
    """

    kind: Literal["zbuffer", "depth_map", "none"] = "zbuffer"
    splat_radius_px: int = 4
    depth_tolerance: float = 0.1
    depth_slack_m: float = 0.3
    grazing_deg: float = 4.5
    min_depth_m: float = 0.5
