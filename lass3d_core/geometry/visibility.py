"""The rule that says which points in an image are visible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Visibility:
    """Which of the points in an image the image sees.

    `zbuffer`: points hide one another. Each point is splatted over the square of 2*splat_radius_px + 1 pixels
    around its own. A point at `nearest` metres hides another, seen under the angle `apart` from it, unless
    depth <= nearest * (1 + depth_tolerance + apart / tan(grazing_deg)) + depth_slack_m.
    `depth_map`: a point is seen if the depth camera measured its depth, within depth_tolerance (relative).
    `none`: every point in the image is seen.
    min_depth_m: nearer points are never seen.
    Decision: apart / tan(grazing_deg) is how fast the depth of a plane grows that is seen at grazing_deg. So
    no steeper surface hides itself, at any resolution.
    Decision: if the image's masks are known, a point hides others within its own mask alone, because a thing
    covers no pixel outside its mask.
    """

    kind: Literal["zbuffer", "depth_map", "none"] = "zbuffer"
    splat_radius_px: int = 4
    depth_tolerance: float = 0.1
    depth_slack_m: float = 0.3
    grazing_deg: float = 4.5
    min_depth_m: float = 0.5
